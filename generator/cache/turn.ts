/**
 * One process at a time for work that several want.
 *
 * In: the name of the work, how to find its result, how to make it. Out: the result. A turn is an abstract Unix socket.
 * The system removes it with its process, so a killed process holds up nobody, and nothing is left to clean up. Processes
 * of other network namespaces, such as other containers, do not see each other: they make the result twice.
 */
import { connect, createServer, type Server, type Socket } from "node:net";

/** Longer than any kernel takes, and short for a process that was stopped in its turn. */
const LONGEST_WAIT_MS = 120_000;

/** Before a process asks again who has the turn. */
const AGAIN_MS = 50;

/** What a process that could not do the work tells those that wait. */
const FAILED = "failed";

/**
 * The result that is found, else the one that `make` returns. While another process makes it, this one waits. After a
 * turn that failed, or too long a wait, it makes the result without a turn.
 */
export async function inTurn<T>(
  name: string,
  find: () => T | undefined,
  make: () => Promise<T>,
  longestWaitMs = LONGEST_WAIT_MS,
): Promise<T> {
  const end = performance.now() + longestWaitMs;
  const address = `\0normrope-${name}`;
  for (let mayWait = true; mayWait; ) {
    const turn = await take(address);
    if (turn !== "taken") return finish(turn, async () => find() ?? (await make()));
    mayWait = (await endOfTurn(address, end - performance.now())) === "over";
    const found = find();
    if (found !== undefined) return found;
  }
  return make();
}

async function finish<T>(turn: Turn, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    for (const socket of turn.waiting) socket.write(FAILED);
    throw error;
  } finally {
    turn.server?.close();
    for (const socket of turn.waiting) socket.end();
  }
}

interface Turn {
  /** Undefined where the system has no such sockets: then nobody waits for anybody. */
  readonly server?: Server;
  readonly waiting: ReadonlySet<Socket>;
}

function take(address: string): Promise<Turn | "taken"> {
  const waiting = new Set<Socket>();
  const server = createServer((socket) => {
    waiting.add(socket.unref());
    socket.on("error", () => {}); // the one that waited has ended
  });
  return new Promise((resolve) => {
    server.on("error", (error: NodeJS.ErrnoException) => {
      resolve(error.code === "EADDRINUSE" ? "taken" : { waiting });
    });
    server.listen(address, () => resolve({ server: server.unref(), waiting }));
  });
}

/** Waits until the process that has the turn closes its end, or its system does. */
function endOfTurn(address: string, milliseconds: number): Promise<"over" | "not over"> {
  return new Promise((resolve) => {
    const socket = connect(address);
    const stop = (outcome: "over" | "not over") => {
      clearTimeout(timer);
      socket.destroy();
      resolve(outcome);
    };
    const timer = setTimeout(() => stop("not over"), Math.max(0, milliseconds));
    socket.once("data", () => stop("not over"));
    socket.once("end", () => stop("over"));
    // The other process has just ended, or has a socket that does not answer: then asking at once would go on for ever.
    socket.once("error", () => setTimeout(stop, AGAIN_MS, "over"));
  });
}
