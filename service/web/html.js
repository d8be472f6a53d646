// Preact with tagged templates in place of JSX, so that files run as they lie here.
export {
  html, render, useState, useEffect, useLayoutEffect, useRef, useMemo, useCallback, useReducer,
} from "./vendor/preact/standalone.module.js";
