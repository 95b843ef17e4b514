package checks

import "math"

// chiSquareTail is the chance that a chi-square variable with df degrees of freedom exceeds x: the regularised
// upper incomplete gamma function Q(df/2, x/2). For x/2 below df/2+1 it is 1 minus the series of P, above it
// the continued fraction of Q by Lentz's method (Abramowitz and Stegun, 6.5.29 and 6.5.31).
func chiSquareTail(x float64, df int) float64 {
	a, z := float64(df)/2, x/2
	if z <= 0 {
		return 1
	}
	lgamma, _ := math.Lgamma(a)
	scale := math.Exp(a*math.Log(z) - z - lgamma)
	const precision, most = 1e-14, 10_000
	if z < a+1 {
		term := 1 / a
		sum := term
		for n := 1; n < most && term > sum*precision; n++ {
			term *= z / (a + float64(n))
			sum += term
		}
		return 1 - scale*sum
	}
	const tiny = 1e-300
	b := z + 1 - a
	c, d := 1/tiny, 1/b
	fraction := d
	for n := 1; n < most; n++ {
		an := -float64(n) * (float64(n) - a)
		b += 2
		if d = an*d + b; math.Abs(d) < tiny {
			d = tiny
		}
		if c = b + an/c; math.Abs(c) < tiny {
			c = tiny
		}
		d = 1 / d
		fraction *= d * c
		if math.Abs(d*c-1) < precision {
			break
		}
	}
	return scale * fraction
}
