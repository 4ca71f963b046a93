// A real service for one test, started by a command of `cargo xtask` that ends with its standard input.
import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const START_TIMEOUT = 90_000;

/** A running service, and what its command said. */
export class Service {
  private constructor(
    private readonly process: ChildProcess,
    private readonly lines: string[][],
  ) {}

  /** Starts `cargo xtask` with these words; nothing where what it needs is missing and may be. */
  static async start(...words: string[]): Promise<Service | undefined> {
    const program = process.env.HANGAR_XTASK ?? join(ROOT, "target/debug/xtask");
    const child = spawn(program, words, { cwd: ROOT, stdio: ["pipe", "pipe", "pipe"] });
    const lines: string[] = [];
    createInterface({ input: child.stderr! }).on("line", (line) => lines.push(line));
    const ready = new Promise<void>((resolve, reject) => {
      const give = (why: string) => reject(new Error(`${program} ${words.join(" ")} ${why}\n${lines.join("\n")}`));
      const timer = setTimeout(() => give(`was not ready within ${START_TIMEOUT} ms`), START_TIMEOUT);
      child.once("error", (error) => give(`did not start: ${error.message}`));
      child.once("exit", (code) => {
        clearTimeout(timer);
        give(`ended with ${code}`);
      });
      createInterface({ input: child.stdout! }).on("line", (line) => {
        lines.push(line);
        if (!line.startsWith("It answers")) return;
        clearTimeout(timer);
        resolve();
      });
    });
    try {
      await ready;
    } catch (error) {
      child.stdin?.end();
      if (process.env.HANGAR_ALLOW_MISSING === "1") return undefined;
      throw error;
    }
    return new Service(child, lines.map((line) => line.split(" ")));
  }

  /** The rest of each line that begins with this word. */
  told(word: string): string[][] {
    return this.lines.filter(([first]) => first === word).map(([, ...rest]) => rest);
  }

  /** Ends it and what it started. */
  async end(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const over = new Promise((resolve) => this.process.once("exit", resolve));
    this.process.stdin!.end();
    await over;
  }
}
