//! The window of recent tokens that repeat, frequency and presence penalties look at.

use std::collections::VecDeque;

/// The last `capacity` tokens with how often each occurs, by ascending id.
#[derive(Debug, Clone)]
pub(super) struct Window {
    capacity: usize,
    recent: VecDeque<u32>,
    counts: Vec<(u32, u32)>,
}

impl Window {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            recent: VecDeque::new(),
            counts: Vec::new(),
        }
    }

    pub(super) fn push(&mut self, token: u32) {
        if self.recent.len() == self.capacity
            && let Some(old) = self.recent.pop_front()
            && let Ok(i) = self.counts.binary_search_by_key(&old, |c| c.0)
        {
            self.counts[i].1 -= 1;
            if self.counts[i].1 == 0 {
                self.counts.remove(i);
            }
        }
        self.recent.push_back(token);
        match self.counts.binary_search_by_key(&token, |c| c.0) {
            Ok(i) => self.counts[i].1 += 1,
            Err(i) => self.counts.insert(i, (token, 1)),
        }
    }

    pub(super) fn counts(&self) -> &[(u32, u32)] {
        &self.counts
    }

    pub(super) fn count(&self, token: u32) -> Option<u32> {
        let found = self.counts.binary_search_by_key(&token, |c| c.0);
        found.ok().map(|i| self.counts[i].1)
    }
}

/// The logit of a token that occurs `count` times in the window.
pub(super) fn penalised(logit: f32, count: u32, repeat: f32, frequency: f32, presence: f32) -> f32 {
    // Dividing a negative logit would reward it: multiply instead, as every implementation does.
    let logit = if logit <= 0.0 {
        logit * repeat
    } else {
        logit / repeat
    };
    logit - (count as f32 * frequency + presence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_follow_the_last_tokens() {
        let mut window = Window::new(3);
        for token in [5, 7, 5, 9] {
            window.push(token);
        }
        assert_eq!(window.counts(), [(5, 1), (7, 1), (9, 1)]);
        window.push(9);
        assert_eq!(window.counts(), [(5, 1), (9, 2)]);
        assert_eq!(window.count(9), Some(2));
        assert_eq!(window.count(7), None);
    }
}
