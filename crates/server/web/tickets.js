// The module `tickets` of the pages.
export {};
