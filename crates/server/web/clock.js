// The module `clock` of the pages.
export {};
