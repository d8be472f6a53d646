// What the page shows, as the address tells it: `#/forecast?data=example:air-passengers&models=zero-shot`.

import { useEffect, useState } from "./html.js";

export function readLink() {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  const [view, ...rest] = path.split("/").map(decode);
  return { view: view || "forecast", rest, query: Object.fromEntries(new URLSearchParams(query)) };
}

/** A part of the address; what somebody typed with a lone percent sign is taken as it stands. */
function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export function makeLink(view, query = {}, rest = []) {
  const known = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const text = new URLSearchParams(known).toString().replace(/%2C/g, ",").replace(/%3A/g, ":");
  return `#/${[view, ...rest].map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`;
}

/** Goes on to another view; Back returns. */
export const go = (view, query, rest) => {
  location.hash = makeLink(view, query, rest);
};

/** Changes the address of what is shown, without a step in the history. */
export function replaceLink(link) {
  if (link === location.hash) return;
  history.replaceState(null, "", link);
  window.dispatchEvent(new Event("linkchange"));
}

export function useLink() {
  const [link, setLink] = useState(readLink);
  useEffect(() => {
    const read = () => setLink(readLink());
    window.addEventListener("hashchange", read);
    window.addEventListener("linkchange", read);
    return () => {
      window.removeEventListener("hashchange", read);
      window.removeEventListener("linkchange", read);
    };
  }, []);
  return link;
}
