// A real BIND 9 for one test: started by `cargo xtask bind` at a port of its own, looked at by `dig` and
// changed by `nsupdate`, as somebody else would.
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const START_TIMEOUT = 60_000;
const run = promisify(execFile);

/** What signs an update or a transfer. */
export type Key = { name: string; algorithm: string; secret: string };

/** A running name server. */
export class Bind {
  private constructor(
    private readonly process: ChildProcess,
    /** Its address, as `host:port`. */
    readonly server: string,
    private readonly keys: Key[],
  ) {}

  /** Starts one that is the primary of this zone; nothing where BIND is missing and may be. */
  static async start(zone: string): Promise<Bind | undefined> {
    const program = process.env.HANGAR_XTASK ?? join(ROOT, "target/debug/xtask");
    const child = spawn(program, ["bind", zone], { cwd: ROOT, stdio: ["pipe", "pipe", "pipe"] });
    const lines: string[] = [];
    createInterface({ input: child.stderr! }).on("line", (line) => lines.push(line));
    const ready = new Promise<void>((resolve, reject) => {
      const give = (why: string) => reject(new Error(`${program} bind ${why}\n${lines.join("\n")}`));
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
    const words = lines.map((line) => line.split(" "));
    const keys = words.filter(([word]) => word === "key").map(([, name, algorithm, secret]) => ({ name, algorithm, secret }));
    return new Bind(child, words.find(([word]) => word === "server")![1], keys);
  }

  /** One of its keys. */
  key(name: string): Key {
    return this.keys.find((key) => key.name === name)!;
  }

  /** What `dig` finds: the contents alone, sorted. */
  async dig(name: string, type: string): Promise<string[]> {
    return (await this.asks(name, type, "+short")).sort();
  }

  /** The whole zone as it is transferred, sorted, without its serial number. */
  async records(zone: string): Promise<string[]> {
    const { algorithm, name, secret } = this.key("others");
    const lines = await this.asks(zone, "AXFR", "-y", `${algorithm}:${name}:${secret}`, "+noall", "+answer", "+onesoa");
    const records = lines.filter((line) => !line.startsWith(";") && !/\sSOA\s/.test(line));
    if (!records.length) throw new Error(`no transfer of ${zone}:\n${lines.join("\n")}`);
    return records.sort();
  }

  /** Changes a zone by these lines of `nsupdate`, as somebody who is not Hangar. */
  async update(zone: string, lines: string[]): Promise<void> {
    const { algorithm, name, secret } = this.key("others");
    const done = run("nsupdate", ["-v", "-y", `${algorithm}:${name}:${secret}`]);
    done.child.stdin!.end(`server ${this.server.replace(":", " ")}\nzone ${zone}\n${lines.join("\n")}\nsend\n`);
    await done;
  }

  /** Ends it. */
  async end(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const over = new Promise((resolve) => this.process.once("exit", resolve));
    this.process.stdin!.end();
    await over;
  }

  private async asks(...words: string[]): Promise<string[]> {
    const [host, port] = this.server.split(":");
    const { stdout } = await run("dig", [`@${host}`, "-p", port, "+tcp", "+time=10", "+tries=1", ...words]);
    return stdout.split("\n").filter((line) => line !== "");
  }
}
