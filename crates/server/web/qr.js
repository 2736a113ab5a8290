// The module `qr` of the pages.
export {};
