// What happened to something, newest first, as far back as the house keeps it.
import { html } from "../dom.js";
import { because, idOf, word } from "../format.js";
import { Listing } from "../listing.js";
import { When } from "../page.js";

/** The page of the events of these resources that a place is at. */
export const eventsOf = (place, ...subjects) => place.read("events", { subjects });

export const Events = ({ title, page, place }) => html`<${Listing} title=${title} page=${page} place=${place} columns=${COLUMNS.filter(({ cell }) => page?.items.some(cell))}
  keyOf=${(one) => one.eventId} empty="Nothing happened in the last eight days; what was before is not kept." />`;

const COLUMNS = [
  { title: "When", cell: (one) => html`<${When} time=${one.time} />` },
  { title: "What", cell: (one) => word(one.type.split(".").at(-1)) },
  { title: "Where", cell: ({ data }) => data?.vm && idOf(data.vm) },
  { title: "Why", cell: ({ data }) => [because(data?.reason), data?.detail].filter(Boolean).join(": ") },
];
