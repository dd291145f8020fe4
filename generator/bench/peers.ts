/**
 * Times of other kernels, recorded in the same way, to compare with.
 *
 * In: the JSON text of such times, and rows. Out: each row's peers. Pure.
 */
import { z } from "zod";
import { pointShape } from "../../dsl/manifest.js";
import { type BenchRow, kernelOf, parseJson } from "./record.js";

const peerRowSchema = z.looseObject({
  kernel: z.string().optional(),
  ...pointShape,
  q_heads: z.int(),
  k_heads: z.int(),
  v_heads: z.int(),
  tokens: z.int().positive(),
  memory: z.enum(["warm", "cold"]),
  /** Microseconds of a launch by the peer's name, and its ratio to the floor of its own run. */
  us: z.record(z.string(), z.number().positive()),
  over_floor: z.record(z.string(), z.number().positive()),
});

const peersSchema = z.looseObject({
  device: z.string(),
  date: z.string(),
  /** The description of each peer. */
  kernels: z.record(z.string(), z.string()),
  rows: z.array(peerRowSchema),
});

export type Peers = z.infer<typeof peersSchema>;
export type PeerRow = z.infer<typeof peerRowSchema>;

/** @throws UserError `bad-record`. */
export function parsePeers(text: string, where: string): Peers {
  return parseJson(peersSchema, text, where);
}

/** The peers' row of the same shape. Peers were measured without dependent launch. */
export function peerOf(peers: Peers, row: BenchRow): PeerRow | undefined {
  if (row.pdl) return undefined;
  const same = ["q_heads", "k_heads", "v_heads", "tokens", "memory"] as const;
  return peers.rows.find(
    (peer) => kernelOf(peer) === kernelOf(row) && same.every((key) => peer[key] === row[key]),
  );
}
