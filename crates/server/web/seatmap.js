// The module `seatmap` of the pages.
export {};
