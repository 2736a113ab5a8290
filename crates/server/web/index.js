// The module `index` of the pages.
export {};
