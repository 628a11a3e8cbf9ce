//! A straight line through points, and how sure its slope is. Pure.

/// How a figure grows with another.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trend {
    /// By so much for one more.
    pub slope: f64,
    /// Of the slope.
    pub standard_error: f64,
}

/// Fits a line by least squares; `None`: too few points, or all at one place.
pub fn fit(points: &[(f64, f64)]) -> Option<Trend> {
    let count = points.len() as f64;
    if points.len() < 3 {
        return None;
    }
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let sum = |of: &dyn Fn(f64, f64) -> f64| -> f64 {
        let from_means = points.iter().map(|point| (point.0 - x, point.1 - y));
        from_means.map(|(x, y)| of(x, y)).sum()
    };
    let spread = sum(&|x, _| x * x);
    if spread == 0.0 {
        return None;
    }
    let slope = sum(&|x, y| x * y) / spread;
    let residual = sum(&|x, y| (y - slope * x).powi(2));
    Some(Trend {
        slope,
        standard_error: (residual / (count - 2.0) / spread).sqrt(),
    })
}

/// The means of so many equal parts of points in order. Samples that follow close on each other say
/// nearly the same, so that a fit through all of them would be surer than it is.
pub fn parts(points: &[(f64, f64)], count: usize) -> Vec<(f64, f64)> {
    let size = points.len().div_ceil(count.max(1)).max(1);
    let mean = |part: &[(f64, f64)]| {
        let (x, y) = part
            .iter()
            .fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
        (x / part.len() as f64, y / part.len() as f64)
    };
    points.chunks(size).map(mean).collect()
}
