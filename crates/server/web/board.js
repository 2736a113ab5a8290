// The module `board` of the pages.
export {};
