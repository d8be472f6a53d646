// Light and dark: the system's choice unless the reader made one. Canvases need colours by value.

const NAME = "outfielder-theme";

export const readTheme = () => localStorage.getItem(NAME) || "system";

export function applyTheme(theme) {
  if (theme === "system") localStorage.removeItem(NAME);
  else localStorage.setItem(NAME, theme);
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  window.dispatchEvent(new Event("themechange"));
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  window.dispatchEvent(new Event("themechange"));
});

/** The value that a custom property of the style sheet has now, as `rgb(..)`. */
export function resolveColor(name) {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

/** The same colour, see-through. */
export const fade = (color, alpha) => color.replace(/^rgba?\(([^,)]+,[^,)]+,[^,)]+).*\)$/, `rgba($1, ${alpha})`);

// Of a palette that people with colour blindness tell apart (M. Okabe and K. Ito, "Color Universal Design", 2008).
export const PALETTE = ["--series-1", "--series-2", "--series-3", "--series-4", "--series-5", "--series-6"];
export const colorOf = (index) => PALETTE[index % PALETTE.length];
