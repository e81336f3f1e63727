// Synced lists, which the server renders: sync, pause and approve, and the form that adds one.

import { call, callAll } from "./api.js";
import { enableForms, make } from "./dom.js";
import { showRefusal, showStatus } from "./forms.js";
import { localise, moment, number } from "./format.js";
import { api, configPage, enableLists, followSync, resumeFollowing, sync } from "./klaviyo_parts.js";
import { enableRegions } from "./regions.js";

const NEW_LIST = "new";
const syncAll = document.querySelector("[data-sync]");
const form = document.querySelector("[data-add]");

const refresh = enableRegions(prepare);
enableLists(refresh);

function prepare(part) {
  localise(part);
  const lists = document.querySelector("[data-configs]");
  if (syncAll) syncAll.disabled = !lists;
  if (lists) enableForms(lists);
}

if (syncAll) {
  syncAll.addEventListener("click", () => followSync(syncAll, () => sync(null), refresh));
  resumeFollowing(syncAll, refresh);
}

// -- adding a list ------------------------------------------------------------------------------

function field(id) {
  return form.querySelector(`#${id}`);
}

// Fields whose id is not the API's name.
const ids = { list_id: "list", segment_key: "segment", name: "list_name" };

function showProblem(problem) {
  showRefusal(form, form.querySelector("[data-status]"), problem, ids);
}

let nextLists = null;

async function loadLists() {
  const more = form.querySelector("[data-more-lists]");
  const select = field("list");
  try {
    const params = nextLists ? { cursor: nextLists } : {};
    const page = await call(`${api}/lists`, { params: { ...params, count: false } });
    const { data, next_cursor: next } = page;
    if (!nextLists) {
      select.replaceChildren(
        make("option", { value: "" }, "Choose…"),
        make("option", { value: NEW_LIST }, "Create a new list…"),
      );
    }
    select.append(...data.map(listOption));
    nextLists = next;
    more.hidden = !next;
    countLists(params);
  } catch (problem) {
    if (!nextLists) select.replaceChildren(make("option", { value: "" }, "Could not load lists"));
    showProblem(problem);
  }
}

// Klaviyo takes seconds to count profiles, so sizes are added after the names are shown.
async function countLists(params) {
  const { data } = await call(`${api}/lists`, { params }).catch(() => ({ data: [] }));
  for (const list of data) {
    const option = field("list").querySelector(`[value="${CSS.escape(list.list_id)}"]`);
    if (option) describeOption(option, list);
  }
  describeList();
}

function listOption(list) {
  const option = make("option", { value: list.list_id });
  describeOption(option, list);
  return option;
}

function describeOption(option, list) {
  const size = list.profile_count === null ? "" : ` (${number(list.profile_count)} profiles)`;
  option.textContent = `${list.name}${size}`;
  if (list.counted_at) option.dataset.counted = list.counted_at;
  option.dataset.segments = list.segment_keys.join(" ");
}

// The name of a segment. It is among the choices, unless it is the list itself or one of very many.
function segmentName(key) {
  const option = field("segment").querySelector(`option[value="${CSS.escape(key)}"]`);
  if (option) return option.text;
  return key.startsWith("klaviyo:") ? "as a segment" : "another segment";
}

function describeList() {
  const [chosen] = field("list").selectedOptions;
  const { counted, segments } = chosen.dataset;
  const names = segments ? segments.split(" ").map(segmentName).join(", ") : "";
  const notes = [
    counted ? `Size as of ${moment(counted)}.` : "",
    names ? `Already synced: ${names}.` : "",
  ];
  form.querySelector("[data-list-help]").textContent = notes.join(" ").trim();
  const isNew = chosen.value === NEW_LIST;
  form.querySelector("[data-new-list]").hidden = !isNew;
  field("list_name").required = isNew;
}

// The segment that is chosen stays chosen, whether or not it is among the new options.
function replaceOptions(group, options) {
  const select = group.closest("select");
  const [chosen] = select.selectedOptions;
  const isLost =
    group.contains(chosen) && !options.some((option) => option.value === chosen.value);
  group.replaceChildren(...options, ...(isLost ? [chosen] : []));
  if (chosen) select.value = chosen.value;
}

async function loadSegments() {
  const found = form.querySelector("[data-found]");
  try {
    const q = field("find").value.trim();
    const params = q ? { limit: 200, q } : { limit: 200 };
    const [shopify, pulled] = await Promise.all([
      call("/api/admin/segments/shopify", { params }),
      callAll("/api/admin/segments/klaviyo"),
    ]);
    const options = shopify.data
      .filter((segment) => !segment.gone_at)
      .map((segment) =>
        make("option", { value: `shopify:${segment.id}` }, `${segment.name} (${number(segment.member_count)})`),
      );
    replaceOptions(form.querySelector("[data-shopify]"), options);
    replaceOptions(
      form.querySelector("[data-pulled]"),
      pulled.map((list) => make("option", { value: `klaviyo:${list.id}` }, list.name)),
    );
    const first = shopify.next_cursor ? "first " : "";
    found.textContent = q ? `The list above shows the ${first}${number(options.length)} matches.` : "";
  } catch (problem) {
    showProblem(problem);
  }
}

function showFieldsForDirection() {
  const isPull = field("direction").value === "pull";
  for (const part of form.querySelectorAll("[data-with-segment]")) part.hidden = isPull;
  field("segment").required = !isPull;
}

async function addList(button) {
  button.disabled = true;
  showStatus(form, form.querySelector("[data-status]"), "Adding…");
  try {
    let listId = field("list").value;
    if (listId === NEW_LIST) {
      const name = field("list_name").value.trim();
      const created = await call(`${api}/lists`, { method: "POST", body: { name } });
      // If the rest is refused, the new list exists and is selected.
      const option = listOption(created);
      field("list").append(option);
      option.selected = true;
      describeList();
      listId = created.list_id;
    }
    const direction = field("direction").value;
    const body = { list_id: listId, direction, is_scheduled: field("is_scheduled").checked };
    if (direction !== "pull") {
      body.segment_key = field("segment").value;
      body.sends_events = field("sends_events").checked;
      body.fires_flows_on_first_sync = field("fires_flows_on_first_sync").checked;
    }
    const config = await call(`${api}/config`, { method: "POST", body });
    location.assign(configPage(config.config_id));
  } catch (problem) {
    showProblem(problem);
  } finally {
    button.disabled = false;
  }
}

if (form) {
  const details = document.querySelector("[data-adding]");
  const loadOptions = () => {
    if (!details.open || details.dataset.loaded) return;
    details.dataset.loaded = "yes";
    loadLists();
    loadSegments();
  };
  details.addEventListener("toggle", loadOptions);
  loadOptions();
  let searchTimer;
  field("find").addEventListener("input", () => {
    clearTimeout(searchTimer);
    searchTimer = setTimeout(loadSegments, 300);
  });
  field("list").addEventListener("change", describeList);
  field("direction").addEventListener("change", showFieldsForDirection);
  form.querySelector("[data-more-lists]").addEventListener("click", loadLists);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    addList(event.submitter);
  });
  enableForms(form);
  showFieldsForDirection();
}
