// Everything by the keyboard: the skip link, the filter, the help, and dialogs that keep the focus.
import type { Locator, Page } from "@playwright/test";
import { connectAccount, isLive, rows, signInAsAdministrator } from "../support/deeds.ts";
import { routes, testid } from "../support/routes.ts";
import { expect, test } from "../support/test.ts";

/** Goes all around in a dialog: the focus never reaches the page behind it. */
async function keepsTheFocus(page: Page, dialog: Locator) {
  const places = await dialog.locator("a, button, input").count();
  for (const key of ["Tab", "Shift+Tab"]) {
    for (let step = 0; step < places + 2; step++) {
      await page.keyboard.press(key);
      const behind = await page.evaluate(() => {
        const at = document.activeElement;
        return at && at !== document.body && !at.closest("dialog[open]") ? at.outerHTML : null;
      });
      expect(behind, "the focus stays in the dialog").toBeNull();
    }
  }
}

test("a page is reached past the navigation, the filter by /, the help by ?", async ({ visit }) => {
  const { page } = await visit();
  await signInAsAdministrator(page);
  await page.goto(routes.NODES);
  await isLive(page);

  await page.keyboard.press("Tab");
  const skip = page.getByRole("link", { name: "Skip to content" });
  await expect(skip).toBeFocused();
  await expect(skip).toBeInViewport();
  await page.keyboard.press("Enter");
  await expect(page.locator("#main")).toBeFocused();

  await page.keyboard.press("/");
  const filter = page.getByRole("searchbox");
  await expect(filter).toBeFocused();
  await expect(filter).toHaveValue("");
  await page.keyboard.type("a?/");
  await expect(filter).toHaveValue("a?/");
  const help = page.getByRole("dialog", { name: "Keyboard" });
  await expect(help).toHaveCount(0);
  await expect(page).toHaveURL(/q=a/);
  await expect(page.getByTestId(testid.NOTHING_FOUND)).toBeVisible();
  await expect(filter).toBeFocused();
  await page.keyboard.press("Escape");
  await expect(filter).not.toBeFocused();

  const pools = page.getByRole("link", { name: "Pools" });
  await pools.focus();
  await page.keyboard.press("?");
  await expect(help).toBeVisible();
  await keepsTheFocus(page, help);
  await page.keyboard.press("Escape");
  await expect(help).toHaveCount(0);
  await expect(pools).toBeFocused();
});

test("a question keeps the focus, Escape takes it back, and nothing was done", async ({ hangar, visit }) => {
  const { page } = await visit();
  await signInAsAdministrator(page);
  await connectAccount(page);
  await rows(page, testid.PROVIDERS).getByRole("link").first().click();
  await isLive(page);
  const open = page.locator('[data-identity="disconnect"] button[command="show-modal"]');
  await open.focus();
  await page.keyboard.press("Enter");
  const question = page.getByTestId(testid.CONFIRM).and(page.locator("[open]"));
  await expect(question).toContainText("Removes the account");
  await keepsTheFocus(page, question);
  await page.keyboard.press("Escape");
  await expect(question).toHaveCount(0);
  await expect(open).toBeFocused();
  expect((await hangar.api("GET", "/api/v1/providers")).items).toHaveLength(1);
});

test("the theme is chosen, kept, and shown", async ({ visit }) => {
  const { page } = await visit();
  await signInAsAdministrator(page);
  await isLive(page);
  const ground = () => page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  const colours = new Map<string, string>();
  for (let press = 0; press < 3; press++) {
    const before = await page.locator("html").getAttribute("data-theme");
    await page.getByTestId(testid.THEME).click();
    await expect(page.locator("html")).not.toHaveAttribute("data-theme", before ?? "none");
    colours.set((await page.locator("html").getAttribute("data-theme"))!, await ground());
  }
  expect([...colours.keys()].sort()).toEqual(["dark", "light", "system"]);
  expect(colours.get("dark")).not.toBe(colours.get("light"));
  const last = await page.locator("html").getAttribute("data-theme");
  await page.reload();
  await expect(page.locator("html")).toHaveAttribute("data-theme", last!);
});
