// The module `place` of the pages.
export {};
