// The tests' `test`: an installation of its own, and visitors whose consoles must stay silent.
import { type Browser, type BrowserContext, type BrowserContextOptions, type Page, expect, test as base } from "@playwright/test";
import { Bind } from "./bind.ts";
import { Engine } from "./engine.ts";
import { Hangar } from "./hangar.ts";

/** What Chromium says when it gives up a request because an interface of the machine came or went, which
 * is nobody's fault: containers of somebody else do that. */
const INTERFACES_CHANGED = "net::ERR_NETWORK_CHANGED";

/** The same navigation again, for as long as that is what ended it. */
async function steadily<T>(navigate: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await navigate();
    } catch (error) {
      if (tries === 5 || !String(error).includes(INTERFACES_CHANGED)) throw error;
    }
  }
}

/** One browser of one person: its first tab, and what its console said. */
export class Visitor {
  readonly complaints: string[] = [];

  private constructor(
    readonly context: BrowserContext,
    readonly page: Page,
  ) {}

  static async of(browser: Browser, options: BrowserContextOptions): Promise<Visitor> {
    const context = await browser.newContext(options);
    const page = await context.newPage();
    const [goto, reload] = [page.goto.bind(page), page.reload.bind(page)];
    page.goto = (...words) => steadily(() => goto(...words));
    page.reload = (...words) => steadily(() => reload(...words));
    const visitor = new Visitor(context, page);
    const plain = options.javaScriptEnabled === false;
    context.on("console", (message) => {
      // The browser minds that it loads what it then does not run.
      if (plain && message.text().includes("preloaded using link preload")) return;
      if (message.text().includes(INTERFACES_CHANGED)) return;
      if (message.type() === "error" || message.type() === "warning") {
        visitor.complaints.push(`console ${message.type()}: ${message.text()} (${message.location().url})`);
      }
    });
    context.on("weberror", (error) => visitor.complaints.push(`page error: ${error.error().stack ?? error.error()}`));
    return visitor;
  }

  /** Fails if a console or a page complained so far about something else than `provoked`. */
  isQuiet(provoked?: RegExp): void {
    expect(this.complaints.filter((line) => !provoked?.test(line)), "what the consoles and pages complained of").toEqual([]);
    this.complaints.length = 0;
  }
}

type Options = {
  /** What is added to the installation's configuration. */
  environment: Record<string, string>;
};

type Fixtures = Options & {
  /** A running installation, empty. */
  hangar: Hangar;
  /** A running BIND 9 that is the primary of `example.test`. */
  bind: Bind;
  /** A running Docker Engine with the images of the tests and nothing else. */
  engine: Engine;
  /** Opens a browser for one more person. All of them must have been quiet at the end. */
  visit: (options?: BrowserContextOptions) => Promise<Visitor>;
};

export const test = base.extend<Fixtures>({
  environment: [{}, { option: true }],

  hangar: async ({ environment }, use, info) => {
    const hangar = await Hangar.start(environment);
    await use(hangar);
    if (info.status !== info.expectedStatus) await info.attach("hangar", { body: hangar.output });
    await hangar.end();
  },

  bind: async ({}, use, info) => {
    const bind = await Bind.start("example.test");
    info.skip(!bind, "BIND is missing here");
    await use(bind!);
    await bind!.end();
  },

  engine: [
    async ({}, use, info) => {
      const engine = await Engine.start();
      info.skip(!engine, "a Docker Engine is missing here");
      await use(engine!);
      await engine!.end();
    },
    { timeout: 120_000 },
  ],

  visit: async ({ browser, hangar }, use) => {
    const visitors: Visitor[] = [];
    await use(async (options = {}) => {
      const visitor = await Visitor.of(browser, { baseURL: hangar.url, ...options });
      visitors.push(visitor);
      return visitor;
    });
    for (const visitor of visitors) await visitor.context.close();
    for (const visitor of visitors) visitor.isQuiet();
  },
});

export { expect };
