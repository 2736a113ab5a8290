// The module `live` of the pages.
export {};
