// Preact with tagged templates in place of JSX, so that files run as they lie here.
export {
  html, render, useState, useEffect, useRef, useMemo,
} from "./vendor/preact/standalone.module.js";
