/** Every stage. Written by `npm run compile` from the files of this folder. */
export { cache } from "./cache.js";
export { norm } from "./norm.js";
export { rotate } from "./rotate.js";
export { value } from "./value.js";
