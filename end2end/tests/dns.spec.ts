// Names: a node comes with its record and takes it along, a name that is taken is refused with the way
// out, and records are made and deleted by hand. What the pages say is looked up at the vendor and asked
// of its name server.
import {
  MACHINE_TIME,
  acquireNode,
  action,
  connectAccount,
  connectDns,
  isLive,
  isReady,
  question,
  rows,
  signInAsAdministrator,
  status,
} from "../support/deeds.ts";
import { routes, testid } from "../support/routes.ts";
import { expect, test } from "../support/test.ts";

test("a node is acquired with a name, found by it, and takes it along", async ({ hangar, visit }) => {
  test.setTimeout(240_000);
  const { page } = await visit();
  await signInAsAdministrator(page);
  await connectAccount(page);
  await connectDns(page);
  const fqdn = `alpha.${hangar.zone}`;

  await test.step("the form shows the whole name while it is typed", async () => {
    await page.goto(routes.ACQUIRE);
    await isLive(page);
    const form = page.getByTestId(testid.ACQUIRE);
    const whole = form.getByTestId(testid.WHOLE_NAME);
    const zone = form.getByLabel("DNS zone");
    const ours = (await zone.locator("option", { hasText: hangar.zone }).getAttribute("value"))!;
    await expect(zone, "the one zone there is").toHaveValue(ours);
    await form.getByLabel("Name", { exact: true }).fill("alpha");
    await expect(whole).toContainText(fqdn);
    await form.getByLabel("DNS name").fill("other");
    await expect(whole).toContainText(`other.${hangar.zone}`);
    await form.getByLabel("DNS name").fill("");
    await zone.selectOption("");
    await expect(whole).toContainText("no DNS name");
    await zone.selectOption(ours);
    await expect(whole).toContainText(fqdn);
    const cockpit = form.getByLabel("Cockpit URL");
    await cockpit.fill((await cockpit.inputValue()).replace("{ipv4}", "{fqdn}"));
    await form.getByRole("button", { name: "Acquire node" }).click();
    await expect(page.getByRole("heading", { level: 1, name: "alpha" })).toBeVisible();
  });

  const records = rows(page, testid.RECORDS_OF);
  const content = await test.step("it is ready with its name: at the vendor, by its name server, on its page", async () => {
    await isReady(page);
    await expect(page.getByTestId(testid.STEP).filter({ hasText: /DNS record/ }).first()).toHaveAttribute(
      "data-status",
      "succeeded",
    );
    const a = records.filter({ hasText: fqdn }).filter({ has: page.locator(".cell-sub", { hasText: /^A$/ }) });
    await expect(status(a, "active")).toBeVisible();
    const at = (await hangar.records()).find((record) => record.name === fqdn && record.type === "A")!;
    expect(at.comment).toMatch(/^hangar /);
    await expect(a).toContainText(at.content);
    expect(await hangar.resolver().resolve4(fqdn)).toEqual([at.content]);
    await expect(page.getByTestId(testid.COCKPIT).first()).toHaveAttribute("href", new RegExp(`^http://${fqdn}:`));
    return at.content;
  });

  await test.step("the list has it, and its page says whose it is", async () => {
    await page.goto(routes.DNS);
    const row = rows(page, testid.DNS_RECORDS).filter({ hasText: content });
    await expect(status(row, "active")).toBeVisible();
    await expect(row).toContainText("alpha");
    await page.getByRole("search").getByLabel("Status").selectOption("failed");
    await expect(page.getByTestId(testid.NOTHING_FOUND)).toBeVisible();
    await page.getByTestId(testid.NOTHING_FOUND).getByRole("link", { name: "Clear filters" }).click();
    await row.getByRole("link", { name: fqdn }).click();
    await expect(page.getByRole("heading", { level: 1, name: fqdn })).toBeVisible();
    // It goes with its node, and the page says so.
    await expect(action(page, "delete-dns-record")).toHaveAttribute("data-enabled", "false");
    await action(page, "delete-dns-record").locator("summary").click();
    await expect(action(page, "delete-dns-record").locator('[data-gate="no-live-node"]')).toHaveAttribute(
      "data-result",
      "blocked",
    );
    await page.locator(".fact").filter({ hasText: "Node" }).getByRole("link", { name: "alpha" }).click();
    await expect(page.getByRole("heading", { level: 1, name: "alpha" })).toBeVisible();
  });

  await test.step("destroying it names the record, and takes both away", async () => {
    await isLive(page);
    await action(page, "destroy-node").locator('button[command="show-modal"]').click();
    await expect(question(page)).toContainText(fqdn);
    await question(page).locator('[name="confirm"]').fill("alpha");
    await question(page).locator('button[type="submit"]').click();
    await expect(status(page.locator(".page-head"), "destroyed")).toBeVisible(MACHINE_TIME);
    expect(await hangar.records()).toEqual([]);
    await expect(hangar.resolver().resolve4(fqdn)).rejects.toMatchObject({ code: /ENOTFOUND|ENODATA/ });
    expect((await hangar.behind("GET", "/state")).servers).toEqual([]);
    await page.goto(`${routes.DNS}?status=live`);
    await expect(page.getByTestId(testid.NOTHING_FOUND)).toBeVisible();
  });
});

test("a record by hand, a name that is taken, and a record changed by somebody", async ({ hangar, visit }) => {
  test.setTimeout(240_000);
  const administrator = await visit();
  const { page } = administrator;
  await signInAsAdministrator(page);
  await page.goto(routes.DNS);
  await expect(page.getByTestId(testid.EMPTY)).toContainText("No records yet");
  await page.goto(routes.DNS_CREATE);
  await expect(page.getByTestId(testid.NO_DNS_ACCOUNT)).toContainText("No account holds zones");
  await connectDns(page);

  const form = page.getByTestId(testid.CREATE_RECORD);
  const create = async (name: string, content: string) => {
    await page.goto(routes.DNS_CREATE);
    await isLive(page);
    await form.getByLabel("Name", { exact: true }).fill(name);
    await form.getByLabel("Content").fill(content);
    await form.getByRole("button", { name: "Create record" }).click();
  };
  const head = page.locator(".page-head");

  await test.step("a wrong content is marked at its field, and nothing typed is lost", async () => {
    await create("www", "not an address");
    await expect(form.locator(".field-wrong")).toContainText("an A record holds an IPv4 address");
    await expect(form.getByLabel("Content")).toHaveValue("not an address");
    await expect(form.getByTestId(testid.WHOLE_NAME)).toContainText(`www.${hangar.zone}`);
    administrator.isQuiet(/dns\/create/);
  });

  await test.step("it is made, and stands at the vendor", async () => {
    await form.getByLabel("Content").fill("192.0.2.7");
    await form.getByRole("button", { name: "Create record" }).click();
    await expect(page.getByRole("heading", { level: 1, name: `www.${hangar.zone}` })).toBeVisible();
    await expect(status(head, "active")).toBeVisible(MACHINE_TIME);
    expect(await hangar.records()).toMatchObject([{ name: `www.${hangar.zone}`, type: "A", content: "192.0.2.7" }]);
    expect(await hangar.resolver().resolve4(`www.${hangar.zone}`)).toEqual(["192.0.2.7"]);
  });

  await test.step("changed by somebody, it shows as drift, and could be adopted", async () => {
    const [{ id, comment }] = await hangar.records();
    await hangar.behindDns("PATCH", `/records/${id}`, { content: "203.0.113.9", comment: "" });
    await isLive(page);
    await action(page, "check-dns-record").getByRole("button", { name: "Check record" }).click();
    await expect(page.getByTestId(testid.DRIFT)).toContainText("203.0.113.9");
    await expect(action(page, "adopt-dns-record")).toHaveAttribute("data-enabled", "true");
    await hangar.behindDns("PATCH", `/records/${id}`, { content: "192.0.2.7", comment });
  });

  await test.step("a name that is taken is a conflict with guidance", async () => {
    const taken = { name: `taken.${hangar.zone}`, type: "A", content: "203.0.113.5", comment: "theirs" };
    await hangar.behindDns("POST", "/records", taken);
    await create("taken", "192.0.2.8");
    await expect(status(head, "failed")).toBeVisible(MACHINE_TIME);
    const failure = page.getByTestId(testid.FAILURE);
    await expect(failure).toContainText("DNS_NAME_CONFLICT");
    for (const label of ["Cause", "Policy context", "Next step", "Safe retry"]) await expect(failure).toContainText(label);
    expect((await hangar.records()).find(({ name }) => name === taken.name)).toMatchObject(taken);
  });

  await test.step("adopting says what is taken over, wants the name, and keeps the content", async () => {
    await isLive(page);
    const fqdn = `taken.${hangar.zone}`;
    await action(page, "adopt-dns-record").locator('button[command="show-modal"]').click();
    await expect(question(page)).toContainText(fqdn);
    await expect(question(page)).toContainText("Somebody else wrote it.");
    await question(page).locator('[name="confirm"]').fill(fqdn);
    await question(page).locator('button[type="submit"]').click();
    await expect(status(head, "active")).toBeVisible(MACHINE_TIME);
    const facts = page.locator(".fact");
    await expect(facts.filter({ hasText: "Origin" })).toContainText("taken over");
    await expect(facts.filter({ hasText: "Content" })).toContainText("203.0.113.5");
    await expect(page.locator("#history")).toContainText("adopt-dns-record");
    expect((await hangar.records()).find(({ name }) => name === fqdn)).toMatchObject({ content: "203.0.113.5" });
  });

  await test.step("deleting names the record and the consequence", async () => {
    await action(page, "delete-dns-record").locator('button[command="show-modal"]').click();
    await expect(question(page)).toContainText(`Deletes the A record taken.${hangar.zone} (203.0.113.5)`);
    await question(page).locator('button[type="submit"]').click();
    await expect(status(head, "deleted")).toBeVisible(MACHINE_TIME);
    expect((await hangar.records()).map(({ name }) => name)).toEqual([`www.${hangar.zone}`]);
  });
});
