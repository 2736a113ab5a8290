// The module `pay` of the pages.
export {};
