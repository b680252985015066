//! Pages of lists.

/// Which page of a list is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    /// From 1.
    pub page: i64,
    /// 1 to 100.
    pub size: i64,
}

impl PageRequest {
    /// Entries before this page.
    pub fn offset(self) -> i64 {
        (self.page - 1).saturating_mul(self.size)
    }
}

/// One page of a list.
#[derive(Debug, Clone)]
pub struct Page<T> {
    /// The entries of this page.
    pub entries: Vec<T>,
    /// Entries on all pages.
    pub total: i64,
    /// What was asked for.
    pub request: PageRequest,
}
