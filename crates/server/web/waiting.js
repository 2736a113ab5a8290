// The module `waiting` of the pages.
export {};
