//! What the pages for buyers may do: ask nobody but the server they came from, and that in one module.
//!
//! The Content-Security-Policy forbids the first in the browser; here it is seen before anybody
//! loads the page. An address in a comment counts too, for it is sent along; a call there does not.

use super::Breach;
use crate::tree::{File, Tree};
use crate::walls::words::has_word;

/// Where the pages are.
const PAGES: &str = "crates/server/web/";

/// The one module that calls the server.
pub(super) const CALLER: &str = "crates/server/web/api.js";

/// A name, not a place: nobody is asked for it.
const SVG: &str = "http://www.w3.org/2000/svg";

/// Everything with which a script can send something.
const CALLS: [&str; 5] = ["fetch(", "XMLHttpRequest", "EventSource", "WebSocket", "sendBeacon"];

pub(super) fn name_no_host(tree: &Tree) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for (file, line, text) in lines(tree) {
        let text = text.replace(SVG, "");
        let begins = ["http://", "https://", "ws://", "wss://", "\"//", "'//", "(//", "=//"];
        if let Some(begin) = begins.iter().find(|begin| text.contains(*begin)) {
            breaches.push(Breach::at(file, line, format!("`{begin}` leads to another host")));
        }
    }
    breaches
}

pub(super) fn ask_in_one_place(tree: &Tree) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for (file, line, text) in lines(tree).filter(|(file, ..)| file.path != CALLER) {
        let code = text.split("//").next().unwrap_or_default();
        let is_comment = text.trim_start().starts_with(['*', '/']);
        let call = CALLS.iter().find(|call| !is_comment && has_word(code, call));
        if let Some(call) = call {
            breaches.push(Breach::at(file, line, format!("`{call}` belongs into `api.js`")));
        }
    }
    breaches
}

/// Every line of the pages, with its number.
fn lines(tree: &Tree) -> impl Iterator<Item = (&File, usize, &str)> {
    let pages = tree.files.iter().filter(|file| file.is_in(PAGES));
    pages.flat_map(|file| (1..).zip(file.text.lines()).map(move |(line, text)| (file, line, text)))
}
