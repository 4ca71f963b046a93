// A real BIND 9 for one test: started by `cargo xtask bind` at a port of its own, looked at by `dig` and
// changed by `nsupdate`, as somebody else would.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { Service } from "./service.ts";

const run = promisify(execFile);

/** What signs an update or a transfer. */
export type Key = { name: string; algorithm: string; secret: string };

/** A running name server. */
export class Bind {
  private constructor(
    private readonly service: Service,
    /** Its address, as `host:port`. */
    readonly server: string,
    private readonly keys: Key[],
  ) {}

  /** Starts one that is the primary of this zone; nothing where BIND is missing and may be. */
  static async start(zone: string): Promise<Bind | undefined> {
    const service = await Service.start("bind", zone);
    const keys = service?.told("key").map(([name, algorithm, secret]) => ({ name, algorithm, secret }));
    return service && new Bind(service, service.told("server")[0][0], keys!);
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
    await this.service.end();
  }

  private async asks(...words: string[]): Promise<string[]> {
    const [host, port] = this.server.split(":");
    const { stdout } = await run("dig", [`@${host}`, "-p", port, "+tcp", "+time=10", "+tries=1", ...words]);
    return stdout.split("\n").filter((line) => line !== "");
  }
}
