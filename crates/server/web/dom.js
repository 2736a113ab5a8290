// The module `dom` of the pages.
export {};
