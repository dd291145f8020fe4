/** Before the tests that build: what they share is made once, before several of them would make it at the same time. */
import { writePackage } from "./cli_process.js";
import { buildFixture, compileSharedObjects } from "./fixture.js";

export default async function setup(): Promise<void> {
  writePackage();
  await compileSharedObjects();
  await buildFixture("default", "cpu");
}
