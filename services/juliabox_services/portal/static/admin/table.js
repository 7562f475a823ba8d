// Tables of the admin pages: sorted, filtered, paged; on a phone each row is a card.
import { Fault, data, get, page } from "../api.js";
import { alertBox, empty, fill, h, icon } from "../dom.js";
import { number } from "../format.js";

const LIMIT = 50;

/**
 * A table in `#table`, drawn from the page's data.
 *
 * `columns`: `{field, label, render(row), sort, align, wide}`; `rows(data)` picks the list.
 * With `remote` the service searches, sorts and pages; else all rows are here already.
 * `bar` are further controls. `refresh` is every how many seconds the rows are fetched again.
 */
export class DataTable {
  constructor({ api, columns, rows, remote = false, sort, order = "asc", what, none, bar = [], above = () => [], refresh = 0, search = true }) {
    Object.assign(this, { api, columns, pick: rows, remote, what, none, above });
    this.query = { search: "", sort, order, offset: 0 };
    this.box = document.getElementById("table");
    this.status = h("p", { class: "jb-hint", role: "status" });
    this.body = h("tbody", { role: "rowgroup" });
    this.notice = h("div", {});
    this.pager = h("nav", { class: "jb-row jb-center", "aria-label": "Pages" });
    this.heads = columns.map((column) => this.head(column));
    this.table = h(
      "table",
      { class: "jb-table", role: "table", "aria-label": what },
      h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, ...this.heads.map((head) => head.cell))),
      this.body,
    );
    this.holder = h("div", { class: "jb-card jb-list" }, this.table);
    this.nothing = h("div", { hidden: true });
    fill(this.box, h("div", { class: "jb-toolbar" }, search ? this.searchField() : null, this.sortField(), ...bar, this.status), this.notice, this.holder, this.nothing, this.pager);
    this.show(data());
    // whoever is at a row's button is not disturbed
    const quiet = () => !document.hidden && !this.body.contains(document.activeElement);
    if (refresh) setInterval(() => quiet() && this.load(), refresh * 1000);
    document.documentElement.dataset.ready = page.name;
  }

  head(column) {
    const sortable = column.sort !== false;
    const label = sortable ? h("button", { type: "button", class: "jb-sort", onclick: () => this.sortBy(column.field) }, column.label, icon("arrow-down")) : column.label;
    const hidden = column.label ? label : h("span", { class: "visually-hidden" }, "Actions");
    return { field: column.field, cell: h("th", { scope: "col", role: "columnheader", class: column.align === "end" ? "jb-number" : null }, hidden) };
  }

  searchField() {
    let timer = 0;
    const field = h("input", { type: "search", class: "form-control", placeholder: "Search", "aria-label": `Search ${this.what.toLowerCase()}` });
    field.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(() => this.change({ search: field.value.trim(), offset: 0 }), this.remote ? 250 : 60);
    });
    return h("span", { class: "jb-search" }, icon("search"), field);
  }

  /** On a phone the head of the table, and its buttons, are not there. */
  sortField() {
    const sortable = this.columns.filter((column) => column.sort !== false);
    const options = sortable.flatMap((column) =>
      ["asc", "desc"].map((order) => h("option", { value: `${column.field} ${order}` }, `${column.label} ${order === "asc" ? "↑" : "↓"}`)),
    );
    this.sorter = h("select", { class: "form-select jb-phone", "aria-label": "Sort by" }, ...options);
    this.sorter.addEventListener("change", () => {
      const [sort, order] = this.sorter.value.split(" ");
      this.change({ sort, order, offset: 0 });
    });
    return this.sorter;
  }

  sortBy(field) {
    const order = this.query.sort === field && this.query.order === "asc" ? "desc" : "asc";
    this.change({ sort: field, order, offset: 0 });
  }

  change(part) {
    Object.assign(this.query, part);
    if (this.remote) this.load();
    else this.show(this.data);
  }

  async load() {
    const ticket = (this.ticket = (this.ticket ?? 0) + 1);
    const query = new URLSearchParams({ ...this.query, limit: LIMIT });
    try {
      const fresh = await get(this.remote ? `${this.api}?${query}` : this.api);
      if (ticket !== this.ticket) return; // a later question has been asked meanwhile
      fill(this.notice);
      this.show(fresh);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      fill(this.notice, alertBox("danger", `${error.message} What you see may be old. `, h("code", {}, error.code)));
    }
  }

  show(fresh) {
    this.data = fresh;
    const all = this.pick(fresh);
    const found = this.remote ? all : this.arranged(all);
    const total = this.remote ? fresh.total : found.length;
    const rows = this.remote ? found : found.slice(this.query.offset, this.query.offset + LIMIT);
    this.showSorting();
    fill(this.body, rows.map((row) => this.row(row)));
    this.holder.hidden = rows.length === 0;
    this.nothing.hidden = rows.length > 0;
    fill(this.nothing, rows.length ? null : this.query.search ? empty("search", "Nothing matches", `No ${this.what.toLowerCase()} with “${this.query.search}”.`) : empty(...this.none));
    const last = this.query.offset + rows.length;
    this.status.textContent = total > rows.length ? `${number(this.query.offset + 1)}–${number(last)} of ${number(total)}` : `${number(total)} in all`;
    fill(this.pager, this.pages(total));
    this.above(fresh);
  }

  showSorting() {
    for (const { field, cell } of this.heads) {
      const sorted = field === this.query.sort;
      if (sorted) cell.setAttribute("aria-sort", this.query.order === "asc" ? "ascending" : "descending");
      else cell.removeAttribute("aria-sort");
    }
    this.sorter.value = `${this.query.sort} ${this.query.order}`;
  }

  arranged(all) {
    const wanted = this.query.search.toLowerCase();
    const found = all.filter((row) => !wanted || JSON.stringify(Object.values(row)).toLowerCase().includes(wanted));
    const { sort } = this.query;
    const turn = this.query.order === "asc" ? 1 : -1;
    return found.toSorted((one, two) => turn * compare(one[sort], two[sort]));
  }

  row(row) {
    const cells = this.columns.map((column, index) => {
      const content = column.render ? column.render(row) : String(row[column.field] ?? "");
      const kind = [index === 0 && "jb-strong", column.align === "end" && "jb-number", column.wide && "jb-wide"].filter(Boolean).join(" ");
      return h("td", { role: "cell", class: kind || null, "data-label": index === 0 ? null : column.label || null }, h("div", { class: "jb-cell" }, ...[content].flat()));
    });
    return h("tr", { role: "row" }, ...cells);
  }

  pages(total) {
    if (total <= LIMIT) return [];
    const go = (label, offset, possible) =>
      h("button", { type: "button", class: "btn btn-sm btn-outline-contrast", disabled: !possible, onclick: () => this.change({ offset }) }, label);
    const { offset } = this.query;
    return [
      go("Previous", Math.max(0, offset - LIMIT), offset > 0),
      h("span", { class: "jb-hint" }, `Page ${offset / LIMIT + 1} of ${Math.ceil(total / LIMIT)}`),
      go("Next", offset + LIMIT, offset + LIMIT < total),
    ];
  }
}

function compare(one, two) {
  if (one === two) return 0;
  if (one === null || one === undefined) return -1;
  if (two === null || two === undefined) return 1;
  if (typeof one === "string") return one.localeCompare(two, undefined, { numeric: true });
  if (Array.isArray(one)) return compare(one.join(), two.join());
  return one < two ? -1 : 1;
}

/** A state as a coloured word. */
export function badge(text, tone = "") {
  return h("span", { class: `jb-state ${tone && `jb-${tone}`}` }, text);
}

/** Several words, each in a chip; a dash where there is none. */
export function chips(words) {
  return words.length ? h("span", { class: "jb-row jb-tight" }, ...words.map((word) => h("span", { class: "jb-chip" }, word))) : h("span", { class: "jb-soft" }, "–");
}
