// The module `seats` of the pages.
export {};
