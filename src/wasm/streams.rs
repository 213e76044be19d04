//! Streams by the proxy's numbers.
//!
//! Each callback looks for its stream, so this is made for that alone: with a `HashMap` a
//! request takes 290 instructions more, where an idle filter's takes 1,200.

use super::host::ProxyWasm;

type Stream = crate::filter::OpenRequest<ProxyWasm>;

/// A stream stands where a hash of its number says or, if another one is there, in the next
/// place that is free. At most half of the places are taken.
pub struct Streams {
    /// A power of two of them, or none.
    places: Vec<Place>,
    taken: usize,
}

/// Room for a stream and its number.
#[derive(Default)]
struct Place {
    id: u32,
    stream: Option<Stream>,
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
        self.places.get_mut(place)?.stream.as_mut()
    }

    /// Room for a stream that is to be put there, in place of any that has this number. To make
    /// one there takes less than to move it.
    pub fn room(&mut self, id: u32) -> Option<&mut Option<Stream>> {
        if self.taken.saturating_mul(2) >= self.places.len() {
            self.grow();
        }
        let place = self.place(id);
        let place = self.places.get_mut(place)?;
        if place.stream.is_none() {
            self.taken = self.taken.saturating_add(1);
        }
        place.id = id;
        Some(&mut place.stream)
    }

    /// Whether it was there.
    pub fn remove(&mut self, id: u32) -> bool {
        let mut place = self.place(id);
        match self.places.get_mut(place) {
            Some(Place {
                stream: taken @ Some(_),
                ..
            }) => *taken = None,
            _ => return false,
        }
        self.taken = self.taken.saturating_sub(1);
        // Those behind it may stand there only because it was in their way.
        loop {
            place = self.next(place);
            match self.places.get_mut(place) {
                Some(behind) if behind.stream.is_some() => {
                    let behind = std::mem::take(behind);
                    self.put(behind);
                }
                _ => return true,
            }
        }
    }

    /// Where a stream stands, or would be put.
    fn place(&self, id: u32) -> usize {
        // By the golden ratio: numbers that follow each other come to stand far apart.
        let hash = id.wrapping_mul(0x9E37_79B9);
        let mut place = hash.rotate_left(16) as usize & self.last();
        while let Some(other) = self.places.get(place)
            && other.stream.is_some()
            && other.id != id
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

    #[cold]
    #[inline(never)]
    fn put(&mut self, moved: Place) {
        let place = self.place(moved.id);
        if let Some(place) = self.places.get_mut(place) {
            *place = moved;
        }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        let mut more = Vec::new();
        more.resize_with(self.places.len().saturating_mul(2).max(16), Place::default);
        let before = std::mem::replace(&mut self.places, more);
        for place in before {
            if place.stream.is_some() {
                self.put(place);
            }
        }
    }
}
