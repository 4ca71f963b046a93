// A real Docker Engine for one test: started by `cargo xtask engine` with its own folder and socket, and
// looked at by the `docker` command, as somebody else would.
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { Service } from "./service.ts";

const run = promisify(execFile);

/** The port at which the images `hangar-test/app` serve their page. */
export const PORT = 8080;

/** A running engine. */
export class Engine {
  private constructor(
    private readonly service: Service,
    /** Its address, as `DOCKER_HOST` has it. */
    readonly host: string,
    /** Where the ports of its containers are reached. Its containers come and go in a network of its
     * own: Chromium gives up requests when an interface of the machine changes. */
    readonly publicHost: string,
  ) {}

  /** Starts one with the images of the tests; nothing where something is missing and may be. */
  static async start(): Promise<Engine | undefined> {
    const service = await Service.start("engine");
    return service && new Engine(service, service.told("host")[0][0], service.told("public-host")[0][0]);
  }

  /** What the `docker` command prints, line by line. */
  async docker(...words: string[]): Promise<string[]> {
    const { stdout } = await run("docker", ["--host", this.host, ...words]);
    return stdout.split("\n").filter((line) => line !== "");
  }

  /** Its containers, also those that do not run, its volumes and its networks, but for those that every
   * engine has. */
  async things(): Promise<string[]> {
    const containers = await this.docker("ps", "--all", "--format", "container {{.Names}}");
    const volumes = await this.docker("volume", "ls", "--format", "volume {{.Name}}");
    const networks = await this.docker("network", "ls", "--format", "network {{.Name}}");
    const own = networks.filter((line) => !/^network (bridge|host|none)$/.test(line));
    return [...containers, ...volumes, ...own].sort();
  }

  /** Ends it with everything that is on it. */
  async end(): Promise<void> {
    await this.service.end();
  }
}

/** A stack with a page and a store behind it, out of the images of the tests. */
export const FILE = `services:
  web:
    image: hangar-test/app:\${HANGAR_TAG}
    ports: ["${PORT}"]
    environment:
      TITLE: \${TITLE}
      PASSWORD: \${PASSWORD}
    depends_on: [db]
  db:
    image: hangar-test/db:1
    environment:
      PASSWORD: \${PASSWORD}
    volumes: ["data:/data"]
volumes:
  data:
`;

/** The same as the API takes it. */
export const BLUEPRINT = {
  file: FILE,
  services: [
    { name: "web", role: "application", memory_mib: 64 },
    { name: "db", role: "data", memory_mib: 32 },
  ],
  variables: [
    { name: "TITLE", description: "What stands above the page", default: "Hello" },
    { name: "PASSWORD", description: "Of the store", generate: true },
  ],
  cockpit: { service: "web", port: PORT },
  tag: "good1",
};
