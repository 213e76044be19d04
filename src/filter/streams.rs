//! Streams by the proxy's numbers.
//!
//! Each callback looks for its stream, so this is made for that alone: with a `HashMap` a
//! request takes 290 instructions more, where an idle filter's takes 1,200.

use super::stream::Stream;

/// A stream stands where a hash of its number says or, if another one is there, in the next
/// place that is free. At most half of the places are taken.
pub struct Streams {
    /// A power of two of them, or none.
    places: Vec<Option<(u32, Stream)>>,
    taken: usize,
}

impl Streams {
    pub const fn new() -> Self {
        Self {
            places: Vec::new(),
            taken: 0,
        }
    }

    pub fn get(&mut self, id: u32) -> Option<&mut Stream> {
        let place = self.place(id);
        let (_, stream) = self.places.get_mut(place)?.as_mut()?;
        Some(stream)
    }

    /// Puts a stream there, in place of any that has this number.
    pub fn insert(&mut self, id: u32, stream: Stream) {
        if self.taken.saturating_mul(2) >= self.places.len() {
            self.grow();
        }
        self.remove(id);
        let place = self.place(id);
        if let Some(place) = self.places.get_mut(place) {
            *place = Some((id, stream));
            self.taken = self.taken.saturating_add(1);
        }
    }

    /// Whether it was there.
    pub fn remove(&mut self, id: u32) -> bool {
        let mut place = self.place(id);
        match self.places.get_mut(place) {
            Some(taken @ Some(_)) => *taken = None,
            _ => return false,
        }
        self.taken = self.taken.saturating_sub(1);
        // Those behind it may stand there only because it was in their way.
        loop {
            place = self.next(place);
            match self.places.get_mut(place).and_then(Option::take) {
                Some(stream) => self.put(stream),
                None => return true,
            }
        }
    }

    /// Where a stream stands, or would be put.
    fn place(&self, id: u32) -> usize {
        // By the golden ratio: numbers that follow each other come to stand far apart.
        let hash = id.wrapping_mul(0x9E37_79B9);
        let mut place = hash.rotate_left(16) as usize & self.last();
        while let Some(Some((other, _))) = self.places.get(place)
            && *other != id
        {
            place = self.next(place);
        }
        place
    }

    fn next(&self, place: usize) -> usize {
        place.wrapping_add(1) & self.last()
    }

    /// The last place, which is all ones.
    fn last(&self) -> usize {
        self.places.len().wrapping_sub(1)
    }

    fn put(&mut self, (id, stream): (u32, Stream)) {
        let place = self.place(id);
        if let Some(place) = self.places.get_mut(place) {
            *place = Some((id, stream));
        }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        let mut more = Vec::new();
        more.resize_with(self.places.len().saturating_mul(2).max(16), || None);
        let before = std::mem::replace(&mut self.places, more);
        for stream in before.into_iter().flatten() {
            self.put(stream);
        }
    }
}
