package main

import (
	"fmt"
	"strings"
)

// The size of the chart, in pixels, and the room around it.
const (
	chartWidth, chartHeight     = 640, 340
	leftRoom, rightRoom         = 70, 130
	topRoom, bottomRoom         = 36, 44
	gridLines               int = 5
)

// chart draws the curves of growth as SVG.
func chart(curves []curve) string {
	var s strings.Builder
	fmt.Fprintf(&s, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", chartWidth, chartHeight)
	fmt.Fprintf(&s, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", chartWidth, chartHeight)
	fmt.Fprintf(&s, `<text x="%d" y="20" font-weight="bold">Dovecot allow: answers a second, by connections and clients tracked</text>`+"\n", leftRoom)
	top := ceiling(curves)
	y := func(v float64) float64 {
		return chartHeight - bottomRoom - v/top*(chartHeight-topRoom-bottomRoom)
	}
	x := func(i int) float64 {
		return leftRoom + float64(i)*(chartWidth-leftRoom-rightRoom)/float64(len(concurrency)-1)
	}
	for i := range gridLines + 1 {
		v := top * float64(i) / float64(gridLines)
		fmt.Fprintf(&s, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%.0f k</text>`+"\n",
			leftRoom, chartWidth-rightRoom, y(v), y(v), leftRoom-8, y(v)+4, v/1000)
	}
	for i, n := range concurrency {
		fmt.Fprintf(&s, `<text x="%.1f" y="%d" text-anchor="middle">%d</text>`+"\n", x(i), chartHeight-bottomRoom+18, n)
	}
	fmt.Fprintf(&s, `<text x="%d" y="%d" text-anchor="middle">connections</text>`+"\n", (leftRoom+chartWidth-rightRoom)/2, chartHeight-8)
	colours := [...]string{"#1b6ca8", "#2a9d55", "#c8641a", "#888"}
	for n, c := range curves {
		colour := colours[n%len(colours)]
		var points []string
		for i, v := range c.Values {
			points = append(points, fmt.Sprintf("%.1f,%.1f", x(i), y(v)))
			fmt.Fprintf(&s, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", x(i), y(v), colour)
		}
		fmt.Fprintf(&s, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.Join(points, " "), colour)
		fmt.Fprintf(&s, `<rect x="%d" y="%d" width="12" height="3" fill="%s"/><text x="%d" y="%d">%s</text>`+"\n",
			chartWidth-rightRoom+12, topRoom+20*n+4, colour, chartWidth-rightRoom+30, topRoom+20*n+10, c.Name)
	}
	s.WriteString("</svg>\n")
	return s.String()
}

// ceiling is a round number that no value exceeds.
func ceiling(curves []curve) float64 {
	most := 1.0
	for _, c := range curves {
		for _, v := range c.Values {
			most = max(most, v)
		}
	}
	step := 1.0
	for step*float64(gridLines) < most {
		switch {
		case step*2*float64(gridLines) >= most:
			step *= 2
		case step*5*float64(gridLines) >= most:
			step *= 5
		default:
			step *= 10
		}
	}
	return step * float64(gridLines)
}
