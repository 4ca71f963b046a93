// One installation for one test: the built server as `hangar demo`, with a folder of its own, at a
// port of its own, ended by its process id.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { Resolver } from "node:dns/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const START_TIMEOUT = 60_000;

/** The secret that every test's administrator signs in with. */
export const SECRET = "a secret of the browser tests";

/** A running installation. */
export class Hangar {
  private constructor(
    private readonly process: ChildProcess,
    private readonly folder: string,
    private readonly lines: string[],
    /** Its address, without a slash at the end. */
    readonly url: string,
  ) {}

  /** Starts one; `environment` is added to its configuration. */
  static async start(environment: Record<string, string> = {}): Promise<Hangar> {
    const folder = await mkdtemp(join(tmpdir(), "hangar-end2end-"));
    const program = process.env.HANGAR_BIN ?? join(ROOT, "target/debug/hangar");
    // Nothing of the caller's own configuration comes through, but for where the docker command finds
    // Compose.
    const own = /^(PATH|HOME|TMPDIR|LANG|USER|DOCKER_CONFIG)$/;
    const inherited = Object.entries(process.env).filter(([name]) => own.test(name));
    const child = spawn(program, ["demo"], {
      env: {
        ...Object.fromEntries(inherited),
        HANGAR_LISTEN: "127.0.0.1:0",
        HANGAR_DATA_DIR: join(folder, "data"),
        HANGAR_ADMIN_SECRET: SECRET,
        HANGAR_SITE_DIR: process.env.HANGAR_SITE_DIR ?? join(ROOT, "target/site"),
        // The demo simulates its own Forge and vendors; only warnings are of interest here.
        HANGAR_LOG: "warn",
        ...environment,
      },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const lines: string[] = [];
    const read = (stream: NodeJS.ReadableStream) => createInterface({ input: stream }).on("line", (l) => lines.push(l));
    const errors = read(child.stderr);
    void errors;
    const url = await new Promise<string>((resolve, reject) => {
      const give = (why: string) => reject(new Error(`${program} ${why}\n${lines.join("\n")}`));
      const timer = setTimeout(() => give(`was not ready within ${START_TIMEOUT} ms`), START_TIMEOUT);
      child.once("error", (error) => give(`did not start: ${error.message}`));
      child.once("exit", (code) => give(`ended with ${code}`));
      read(child.stdout).on("line", (line: string) => {
        const address = /ready at (http:\/\/\S+)/.exec(line)?.[1];
        // The rest of what it says follows at once; the blank line before the last one ends it.
        if (address) lines.push(`url=${address.replace(/\/$/, "")}`);
        if (line.includes("Ctrl-C ends it")) {
          clearTimeout(timer);
          resolve(lines.find((one) => one.startsWith("url="))!.slice("url=".length));
        }
      });
    }).catch(async (error) => {
      child.kill("SIGKILL");
      await rm(folder, { recursive: true, force: true });
      throw error;
    });
    return new Hangar(child, folder, lines, url);
  }

  /** The token that the simulated Hetzner accepts. */
  get token(): string {
    return this.told(/^\s+token (\S+)$/);
  }

  /** Where the simulated Hetzner is controlled: faults, its servers, its capacity. */
  get control(): string {
    return `${new URL(this.told(/^\s+Hetzner\s+simulated at (\S+)$/)).origin}/control`;
  }

  /** The zone that the simulated Cloudflare holds. */
  get zone(): string {
    return this.told(/^\s+zone ([^;\s]+)/);
  }

  /** Asks the simulated vendor's name server, and no other. */
  resolver(): Resolver {
    const resolver = new Resolver({ timeout: 2_000, tries: 2 });
    const [, host, port] = this.line(/^\s+dig @(\S+) -p (\d+) /);
    resolver.setServers([`${host}:${port}`]);
    return resolver;
  }

  /** The records at the simulated Cloudflare that people see. */
  async records(): Promise<{ id: string; name: string; type: string; content: string; comment: string | null }[]> {
    const { zones } = await this.behindDns("GET", "/state");
    return zones.flatMap(({ records }: { records: { type: string }[] }) => records);
  }

  /** Asks the simulated Cloudflare's control for something that happens behind Hangar's back. */
  async behindDns<T = any>(method: string, path: string, body?: unknown): Promise<T> {
    const origin = new URL(this.told(/^\s+Cloudflare\s+simulated at (\S+)$/)).origin;
    return send(method, `${origin}/control${path}`, body);
  }

  /** Whether nodes are logged in to over SSH; the demo says when they are not. */
  get sshIsOn(): boolean {
    return !this.lines.some((line) => /^\s+SSH\s+verification is off/.test(line));
  }

  /** What it wrote, for a failed test's report. */
  get output(): string {
    return this.lines.join("\n");
  }

  /** Asks the machine API as the administrator. */
  async api<T = any>(method: string, path: string, body?: unknown): Promise<T> {
    const response = await fetch(`${this.url}${path}`, {
      method,
      headers: { "x-admin-secret": SECRET, ...(body === undefined ? {} : { "content-type": "application/json" }) },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${text}`);
    return (text ? JSON.parse(text) : undefined) as T;
  }

  /** Asks the simulated Hetzner as any other client of it does. */
  async vendor<T = any>(path: string): Promise<T> {
    const url = this.control.replace(/\/control$/, `/v1${path}`);
    const response = await fetch(url, { headers: { authorization: `Bearer ${this.token}` } });
    if (!response.ok) throw new Error(`GET ${url}: ${response.status}`);
    return (await response.json()) as T;
  }

  /** Asks the simulated Hetzner's control for something that happens behind Hangar's back. */
  async behind<T = any>(method: string, path: string, body?: unknown): Promise<T> {
    return send(method, `${this.control}${path}`, body);
  }

  /** Ends it and removes its folder. */
  async end(): Promise<void> {
    if (this.process.exitCode === null && this.process.signalCode === null) {
      const over = new Promise((resolve) => this.process.once("exit", resolve));
      this.process.kill("SIGTERM");
      const timer = setTimeout(() => this.process.kill("SIGKILL"), 10_000);
      await over;
      clearTimeout(timer);
    }
    await rm(this.folder, { recursive: true, force: true });
  }

  private told(pattern: RegExp): string {
    return this.line(pattern)[1];
  }

  private line(pattern: RegExp): RegExpExecArray {
    for (const line of this.lines) {
      const found = pattern.exec(line);
      if (found) return found;
    }
    throw new Error(`Hangar said nothing that fits ${pattern}:\n${this.output}`);
  }
}

async function send<T>(method: string, url: string, body?: unknown): Promise<T> {
  const response = await fetch(url, {
    method,
    headers: body === undefined ? {} : { "content-type": "application/json" },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${url}: ${response.status} ${text}`);
  return (text ? JSON.parse(text) : undefined) as T;
}
