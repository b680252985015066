//! Parts of lists: pages by number, and for lists that grow long slices along a cursor, each as cheap as the first.

use uuid::Uuid;

/// Which part of a list is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    /// From 1. Means nothing to a slice.
    pub page: i64,
    /// 1 to 100.
    pub size: i64,
    /// Wants a slice: the entries older than this one. [`PageRequest::FIRST`] is younger than all.
    pub after: Option<Uuid>,
}

impl PageRequest {
    /// The cursor of the first slice.
    pub const FIRST: Uuid = Uuid::max();

    /// A page of this number and size.
    pub fn new(page: i64, size: i64) -> PageRequest {
        PageRequest { page, size, after: None }
    }

    /// Entries before this page.
    pub fn offset(self) -> i64 {
        if self.after.is_some() { 0 } else { (self.page - 1).saturating_mul(self.size) }
    }

    /// The id below which entries are looked for.
    pub(crate) fn below(self) -> Uuid {
        self.after.unwrap_or(PageRequest::FIRST)
    }

    /// Entries to read: of a slice one more, which tells whether there is another.
    pub(crate) fn limit(self) -> i64 {
        self.size + i64::from(self.after.is_some())
    }
}

/// One part of a list.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// Its entries.
    pub entries: Vec<T>,
    /// Entries of the whole list; not counted for a slice.
    pub total: i64,
    /// What was asked for.
    pub request: PageRequest,
    /// The cursor of the next slice, if this is one and not the last.
    pub next: Option<Uuid>,
}

impl<T> Page<T> {
    /// A page.
    pub(crate) fn new(entries: Vec<T>, total: i64, request: PageRequest) -> Page<T> {
        Page { entries, total, request, next: None }
    }

    /// A page or a slice of a list that is ordered by descending id, of [`PageRequest::limit`] entries.
    pub(crate) fn part(mut entries: Vec<T>, total: i64, request: PageRequest, id: impl Fn(&T) -> Uuid) -> Page<T> {
        let size = usize::try_from(request.size).unwrap_or(usize::MAX);
        let has_next = request.after.is_some() && entries.len() > size;
        if has_next {
            entries.truncate(size);
        }
        let next = entries.last().map(id).filter(|_| has_next);
        Page { entries, total, request, next }
    }
}
