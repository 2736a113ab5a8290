// The module `words` of the pages.
export {};
