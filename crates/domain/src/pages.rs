//! A growing list whose clone is cheap: the persistent vector under everything a sale remembers.
//!
//! Elements stand in pages of `N`, pages in chunks of 64; a clone shares all chunks, and a change
//! after a clone copies the one page it touches (and the chunk's 64 pointers). A publication every
//! 20 ms therefore costs what changed in those 20 ms, while reads and changes in between go
//! straight to memory as with a plain vector.

use std::sync::Arc;

use minicbor::decode::{self, Decoder};
use minicbor::encode::{self, Encoder, Write};
use minicbor::{Decode, Encode};

const CHUNK_PAGES: usize = 64;

type Page<T> = Arc<Vec<T>>;

/// A list in pages of `N` elements.
#[derive(Debug)]
pub struct Pages<T, const N: usize> {
    chunks: Vec<Arc<Vec<Page<T>>>>,
    len: usize,
}

impl<T, const N: usize> Clone for Pages<T, N> {
    fn clone(&self) -> Self {
        Self { chunks: self.chunks.clone(), len: self.len }
    }
}

impl<T, const N: usize> Default for Pages<T, N> {
    fn default() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }
}

impl<T, const N: usize> Pages<T, N> {
    /// How many elements there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The element at `index`, if there is one.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&T> {
        let page = index / N;
        self.chunks.get(page / CHUNK_PAGES)?.get(page % CHUNK_PAGES)?.get(index % N)
    }

    /// All pages in order, each of `N` elements but for the last.
    pub fn pages(&self) -> impl Iterator<Item = &Arc<Vec<T>>> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }

    /// The page with the number `page`: the elements from `page * N` on.
    #[must_use]
    pub fn page(&self, page: usize) -> Option<&Arc<Vec<T>>> {
        self.chunks.get(page / CHUNK_PAGES)?.get(page % CHUNK_PAGES)
    }

    /// All elements in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.pages().flat_map(|page| page.iter())
    }
}

impl<T: Clone, const N: usize> Pages<T, N> {
    /// The element at `index`, to be changed; copies its page when a clone shares it.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        let page = index / N;
        let chunk = self.chunks.get_mut(page / CHUNK_PAGES)?;
        unique(Arc::make_mut(chunk).get_mut(page % CHUNK_PAGES)?, N).get_mut(index % N)
    }

    /// Adds an element at the end.
    pub fn push(&mut self, element: T) {
        let page = self.len / N;
        if page == self.chunks.len() * CHUNK_PAGES {
            self.chunks.push(Arc::new(Vec::with_capacity(CHUNK_PAGES)));
        }
        let chunk = Arc::make_mut(self.chunks.last_mut().expect("a chunk was just made sure of"));
        if page % CHUNK_PAGES == chunk.len() {
            chunk.push(Arc::new(Vec::with_capacity(N)));
        }
        unique(&mut chunk[page % CHUNK_PAGES], N).push(element);
        self.len += 1;
    }
}

/// The page for this list alone. A copy is given room for a whole page at once, which `Vec::clone`
/// would not do.
fn unique<T: Clone>(page: &mut Page<T>, capacity: usize) -> &mut Vec<T> {
    if Arc::get_mut(page).is_none() {
        let mut copy = Vec::with_capacity(capacity);
        copy.extend_from_slice(page);
        *page = Arc::new(copy);
    }
    Arc::get_mut(page).expect("nobody else knows the copy")
}

impl<T: Clone, const N: usize> FromIterator<T> for Pages<T, N> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Self {
        let mut pages = Self::default();
        for element in elements {
            pages.push(element);
        }
        pages
    }
}

impl<C, T: Encode<C>, const N: usize> Encode<C> for Pages<T, N> {
    fn encode<W: Write>(
        &self,
        e: &mut Encoder<W>,
        ctx: &mut C,
    ) -> Result<(), encode::Error<W::Error>> {
        e.array(self.len as u64)?;
        for element in self.iter() {
            element.encode(e, ctx)?;
        }
        Ok(())
    }
}

impl<'b, C, T: Decode<'b, C> + Clone, const N: usize> Decode<'b, C> for Pages<T, N> {
    fn decode(d: &mut Decoder<'b>, ctx: &mut C) -> Result<Self, decode::Error> {
        d.array_iter_with(ctx)?.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clone_keeps_what_it_saw() {
        assert!(Pages::<u32, 4>::default().is_empty());
        let mut list: Pages<u32, 4> = (0..1000).collect();
        assert!(!list.is_empty());
        let before = list.clone();
        *list.get_mut(17).unwrap() = 99;
        list.push(7);
        assert_eq!(before.get(17), Some(&17));
        assert_eq!(before.len(), 1000);
        assert_eq!(before.get(1000), None);
        assert_eq!(list.get(17), Some(&99));
        assert_eq!(list.iter().copied().last(), Some(7));
        assert_eq!(before.iter().copied().collect::<Vec<_>>(), (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn an_unchanged_page_is_shared() {
        let mut list: Pages<u32, 4> = (0..1000).collect();
        let before = list.clone();
        *list.get_mut(0).unwrap() = 5;
        let shared = list.pages().zip(before.pages()).filter(|(a, b)| Arc::ptr_eq(a, b)).count();
        assert_eq!(shared, 249);
    }
}
