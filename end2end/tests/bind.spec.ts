// The story with a real name server: an account at a BIND 9 is connected in the browser, a node gets its
// name there and takes it along, and what others wrote stays as it was, byte for byte. `dig` looks, and
// `nsupdate` writes, as somebody else would.
import type { Page } from "@playwright/test";
import type { Bind } from "../support/bind.ts";
import {
  MACHINE_TIME,
  acquireNode,
  action,
  connectAccount,
  isLive,
  isReady,
  question,
  rows,
  servers,
  signInAsAdministrator,
  status,
} from "../support/deeds.ts";
import { routes, testid } from "../support/routes.ts";
import { expect, test } from "../support/test.ts";

const ZONE = "example.test";

/** What others keep in the zone. */
const FOREIGN = [
  `update add www.${ZONE}. 300 A 203.0.113.80`,
  `update add www.${ZONE}. 300 AAAA 2001:db8::80`,
  `update add mail.${ZONE}. 3600 A 203.0.113.25`,
  `update add ${ZONE}. 3600 MX 10 mail.${ZONE}.`,
  `update add ${ZONE}. 300 TXT "v=spf1 mx -all" "and \\"more\\""`,
  `update add taken.${ZONE}. 300 A 203.0.113.5`,
  `update add _hangar.other.${ZONE}. 300 TXT "heritage=hangar" "instance=another" "A=dns_1/0123456789abcdef"`,
  `update add other.${ZONE}. 300 A 203.0.113.6`,
];

/** The visible field of the form that connects an account: the fields of every kind are there. */
const field = (page: Page, name: string) =>
  page.getByTestId(testid.CONNECT).getByRole("textbox", { name, exact: true });

/** Fills in the form that connects an account at this server and sends it. */
async function connect(page: Page, bind: Bind, secret: string): Promise<void> {
  const form = page.getByTestId(testid.CONNECT);
  const key = bind.key("hangar");
  await form.getByLabel("Kind").selectOption("rfc2136");
  const typed = { Name: "bind", Server: bind.server, Zone: ZONE, "Key name": key.name, Key: secret };
  for (const [name, value] of Object.entries(typed)) await field(page, name).fill(value);
  await form.getByLabel("Algorithm").selectOption(key.algorithm);
  await form.getByRole("button", { name: "Connect account" }).click();
}

test("a node is found by dig under its name, and takes the name along", async ({ hangar, bind, visit }) => {
  test.setTimeout(240_000);
  await bind.update(ZONE, FOREIGN);
  const before = await bind.records(ZONE);
  const administrator = await visit();
  const { page } = administrator;
  await signInAsAdministrator(page);
  await connectAccount(page);
  const account = rows(page, testid.PROVIDERS).filter({ hasText: "bind" });

  await test.step("a wrong key: degraded with guidance, and what was typed stays", async () => {
    await isLive(page);
    await connect(page, bind, "d3Jvbmctd3Jvbmctd3Jvbmctd3Jvbmctd3Jvbmctd3I=");
    await expect(status(account, "degraded")).toBeVisible();
    await expect(account).toContainText("PROVIDER_CREDENTIAL_REJECTED");
    await expect(account.locator(".guidance li").first()).not.toBeEmpty();
    await expect(field(page, "Server")).toHaveValue(bind.server);
  });

  await test.step("the right key: connected, and the zone is there; the check left nothing in it", async () => {
    await field(page, "Key").fill(bind.key("hangar").secret);
    await page.getByTestId(testid.CONNECT).getByRole("button", { name: "Connect account" }).click();
    await expect(status(account, "connected")).toBeVisible();
    await account.getByRole("link", { name: "bind" }).click();
    await expect(rows(page, testid.ZONES)).toContainText([ZONE]);
    await expect(page.locator("body")).not.toContainText(bind.key("hangar").secret);
    expect(await bind.records(ZONE)).toEqual(before);
  });

  const fqdn = `alpha.${ZONE}`;
  const found = await test.step("acquired by one form, it is found by dig", async () => {
    await acquireNode(page, "alpha");
    await isReady(page);
    const [server] = (await hangar.vendor("/servers")).servers;
    expect(await bind.dig(fqdn, "A")).toEqual([server.public_net.ipv4.ip]);
    const aaaa = await bind.dig(fqdn, "AAAA");
    expect(aaaa).toHaveLength(1);
    expect(server.public_net.ipv6.ip, "an address of its network").toContain(aaaa[0].replace(/::1$/, "::"));
    const records = rows(page, testid.RECORDS_OF);
    await expect(records).toHaveCount(2);
    for (const content of [server.public_net.ipv4.ip, aaaa[0]]) {
      await expect(status(records.filter({ hasText: content }), "active")).toBeVisible();
    }
    // Beside what others wrote stand the two records and their marker, and nothing else.
    const now = await bind.records(ZONE);
    expect(now.filter((line) => before.includes(line))).toEqual(before);
    expect(now.filter((line) => !before.includes(line)).map((line) => line.split(/\s+/).toSpliced(1, 2).slice(0, 2))).toEqual([
      [`_hangar.${fqdn}.`, "TXT"],
      [`${fqdn}.`, "A"],
      [`${fqdn}.`, "AAAA"],
    ]);
    return { id: page.url().split("/").pop()! };
  });

  await test.step("one click destroys both: nothing is left at the vendor, nothing in the zone", async () => {
    await page.goto(`${routes.NODES}/${found.id}`);
    await isLive(page);
    await action(page, "destroy-node").locator('button[command="show-modal"]').click();
    await expect(question(page)).toContainText(fqdn);
    await question(page).locator('[name="confirm"]').fill("alpha");
    await question(page).locator('button[type="submit"]').click();
    await expect(status(page.locator(".page-head"), "destroyed")).toBeVisible(MACHINE_TIME);
    expect(await bind.dig(fqdn, "A")).toEqual([]);
    expect(await bind.dig(fqdn, "AAAA")).toEqual([]);
    expect(await bind.records(ZONE)).toEqual(before);
    expect(await servers(hangar)).toEqual([]);
  });
});

test("a name that is taken is a conflict with guidance, and adopted only when that is asked for", async ({
  hangar,
  bind,
  visit,
}) => {
  test.setTimeout(240_000);
  await bind.update(ZONE, FOREIGN);
  const before = await bind.records(ZONE);
  const { page } = await visit();
  await signInAsAdministrator(page);
  await connectAccount(page);
  await isLive(page);
  await connect(page, bind, bind.key("hangar").secret);
  await expect(status(rows(page, testid.PROVIDERS).filter({ hasText: "bind" }), "connected")).toBeVisible();
  const fqdn = `taken.${ZONE}`;
  const head = page.locator(".page-head");
  const failure = page.getByTestId(testid.FAILURE).first();

  await test.step("a node of that name ends failed, says why and what to do, and its server is taken back", async () => {
    await acquireNode(page, "taken");
    await expect(status(head, "failed")).toBeVisible(MACHINE_TIME);
    await expect(failure).toContainText("DNS_NAME_CONFLICT");
    for (const label of ["Cause", "Policy context", "Next step", "Safe retry"]) await expect(failure).toContainText(label);
    await expect.poll(() => servers(hangar), MACHINE_TIME).toEqual([]);
    expect(await bind.records(ZONE)).toEqual(before);
  });

  await test.step("a record by hand is refused as well, and its page shows the way out", async () => {
    await page.goto(routes.DNS_CREATE);
    await isLive(page);
    const form = page.getByTestId(testid.CREATE_RECORD);
    await form.getByLabel("Name", { exact: true }).fill("taken");
    await form.getByLabel("Content").fill("192.0.2.8");
    await form.getByRole("button", { name: "Create record" }).click();
    await expect(page.getByRole("heading", { level: 1, name: fqdn })).toBeVisible();
    await expect(status(head, "failed")).toBeVisible(MACHINE_TIME);
    await expect(failure).toContainText("DNS_NAME_CONFLICT");
    await expect(failure).toContainText("adopt it");
    expect(await bind.records(ZONE)).toEqual(before);
  });

  await test.step("adopting wants the name, keeps the content, and adds the marker alone", async () => {
    await isLive(page);
    await action(page, "adopt-dns-record").locator('button[command="show-modal"]').click();
    await expect(question(page)).toContainText("Somebody else wrote it.");
    await question(page).locator('[name="confirm"]').fill(fqdn);
    await question(page).locator('button[type="submit"]').click();
    await expect(status(head, "active")).toBeVisible(MACHINE_TIME);
    await expect(page.locator("#history")).toContainText("adopt-dns-record");
    expect(await bind.dig(fqdn, "A")).toEqual(["203.0.113.5"]);
    const now = await bind.records(ZONE);
    expect(now.filter((line) => before.includes(line))).toEqual(before);
    const [marker, ...more] = now.filter((line) => !before.includes(line));
    expect(marker).toMatch(new RegExp(`^_hangar\\.${fqdn}\\.\\s.*TXT.*"heritage=hangar"`));
    expect(more).toEqual([]);
  });

  await test.step("what is adopted goes when it is deleted, and nothing beside it", async () => {
    await isLive(page);
    await action(page, "delete-dns-record").locator('button[command="show-modal"]').click();
    await question(page).locator('button[type="submit"]').click();
    await expect(status(head, "deleted")).toBeVisible(MACHINE_TIME);
    expect(await bind.dig(fqdn, "A")).toEqual([]);
    expect(await bind.records(ZONE)).toEqual(before.filter((line) => !line.startsWith(`${fqdn}.`)));
  });
});
