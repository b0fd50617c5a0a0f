//! Pages by key: a page begins behind the last thing of the page before, so that what comes and goes meanwhile neither
//! repeats nor hides anything that stays.

/// Where a page ended. What the number means is the list's own business.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Cursor(pub i64);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Page {
    /// None: from the beginning.
    pub after: Option<Cursor>,
    pub limit: u32,
}

impl Page {
    pub const fn first(limit: u32) -> Self {
        Self { after: None, limit }
    }

    /// How many rows to ask for: one more than wanted says whether there is a next page.
    pub(crate) fn fetch(self) -> i64 {
        i64::from(self.limit) + 1
    }

    /// Cuts a list fetched with `fetch` down to the page.
    pub(crate) fn cut<T>(self, mut items: Vec<T>, cursor: impl Fn(&T) -> i64) -> Paged<T> {
        let more = items.len() > self.limit as usize;
        items.truncate(self.limit as usize);
        let next = items.last().filter(|_| more).map(|item| Cursor(cursor(item)));
        Paged { items, next }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Paged<T> {
    pub items: Vec<T>,
    /// Give it as `after` for the next page; None when this was the last.
    pub next: Option<Cursor>,
}
