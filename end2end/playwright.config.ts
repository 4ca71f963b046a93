// How the browser tests run. The tests start their own server by a fixture; `cargo xtask test` names
// the browser (CHROMIUM), the server (HANGAR_BIN) and the report (HANGAR_E2E_REPORT).
import { defineConfig } from "@playwright/test";

const asRoot = process.getuid?.() === 0;
const report = process.env.HANGAR_E2E_REPORT;

export default defineConfig({
  testDir: "tests",
  outputDir: "test-results",
  // Two cores are shared with the server under test.
  workers: 2,
  fullyParallel: false,
  forbidOnly: Boolean(report),
  // A test that passes at the second attempt only is a failed test.
  retries: 0,
  timeout: 60_000,
  expect: { timeout: 10_000 },
  reporter: report ? [["list"], ["json", { outputFile: report }]] : [["list"]],
  use: {
    baseURL: process.env.HANGAR_E2E_URL,
    browserName: "chromium",
    headless: true,
    // What cannot be clicked or filled by then will not be.
    actionTimeout: 15_000,
    navigationTimeout: 30_000,
    video: "off",
    screenshot: "only-on-failure",
    trace: "retain-on-failure",
    launchOptions: {
      executablePath: process.env.CHROMIUM || undefined,
      // Chromium's own sandbox refuses to work for root.
      chromiumSandbox: !asRoot,
      args: [
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        ...(asRoot ? ["--no-sandbox"] : []),
      ],
    },
  },
});
