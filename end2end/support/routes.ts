// Paths and test ids, read out of app/src/routes.rs: what the pages are made with is what the tests
// look for, and a name that is gone there fails here at once.
import { readFileSync } from "node:fs";

const source = readFileSync(new URL("../../app/src/routes.rs", import.meta.url), "utf8");
const [paths, ids] = source.split("pub mod testid");

function constants(text: string): Record<string, string> {
  const found = [...text.matchAll(/pub const (\w+): &str = "([^"]*)"/g)].map(([, name, value]) => [name, value]);
  return new Proxy(Object.fromEntries(found), {
    get(all, name) {
      if (typeof name === "string" && !(name in all)) throw new Error(`app/src/routes.rs has no ${name}`);
      return all[name as string];
    },
  });
}

/** The pages' paths, such as `routes.NODES`. */
export const routes = constants(paths);
/** The test ids, such as `testid.ACQUIRE`. */
export const testid = constants(ids);
