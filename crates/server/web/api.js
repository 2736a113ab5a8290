// The module `api` of the pages.
export {};
