package main

import (
	"fmt"
	"image/color"
	"math"
	"path/filepath"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
)

// colors are told apart also by readers that do not see red and green.
var colors = []color.Color{
	color.RGBA{0x1f, 0x6f, 0xb4, 0xff}, color.RGBA{0xe6, 0x8a, 0x00, 0xff}, color.RGBA{0x2a, 0x9d, 0x8f, 0xff},
	color.RGBA{0x8e, 0x44, 0xad, 0xff}, color.RGBA{0xc0, 0x39, 0x2b, 0xff}, color.RGBA{0x55, 0x55, 0x55, 0xff},
}

// series is one line, or one group of bars.
type series struct {
	name   string
	points plotter.XYs // of a line
	values []float64   // of bars
}

func newPlot(title, x, y string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = title, x, y
	p.Title.TextStyle.Font.Size = font.Length(12)
	p.Y.Min = 0
	p.Legend.Top = true
	p.Add(plotter.NewGrid())
	return p
}

// lines plots series over logarithmic or plain axes.
func lines(file, title, x, y string, logX, logY bool, list []series, names ...string) error {
	p := newPlot(title, x, y)
	p.Legend.Left = true // lines rise to the right
	if logX {
		p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, powers{}
	}
	if logY {
		p.Y.Min = math.Inf(1)
		p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, powers{}
	}
	for i, s := range list {
		if len(s.points) == 0 {
			continue
		}
		line, dots, err := plotter.NewLinePoints(s.points)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		line.Color, dots.Color = colors[i%len(colors)], colors[i%len(colors)]
		line.Width, dots.Radius = vg.Points(1.5), vg.Points(2.5)
		p.Add(line, dots)
		p.Legend.Add(s.name, line, dots)
	}
	if logY { // whole powers, so that two at least are marked
		p.Y.Min, p.Y.Max = math.Pow(10, math.Floor(math.Log10(p.Y.Min))), math.Pow(10, math.Ceil(math.Log10(p.Y.Max*1.5)))
	} else {
		p.Y.Min, p.Y.Max = 0, p.Y.Max*1.4
	}
	if logX {
		p.X.Min, p.X.Max = p.X.Min*0.8, p.X.Max*1.25
	}
	if len(names) > 0 {
		p.NominalX(names...)
		p.X.Min, p.X.Max = -0.2, float64(len(names))-0.8
	}
	return p.Save(16*vg.Centimeter, 9*vg.Centimeter, file)
}

// bars plots groups of bars with names below them.
func bars(file, title, y string, names []string, list []series) error {
	p := newPlot(title, "", y)
	width := vg.Points(min(40, 260/float64(max(1, len(names)*len(list)))))
	for i, s := range list {
		chart, err := plotter.NewBarChart(plotter.Values(s.values), width)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		chart.Color, chart.LineStyle.Width = colors[i%len(colors)], 0
		chart.Offset = width * vg.Length(float64(i)-float64(len(list)-1)/2)
		p.Add(chart)
		if len(list) > 1 {
			p.Legend.Add(s.name, chart)
		}
	}
	p.NominalX(names...)
	p.X.Min, p.X.Max = -0.6, float64(len(names))-0.4
	p.Y.Min, p.Y.Max = 0, p.Y.Max*1.4
	return p.Save(16*vg.Centimeter, 9*vg.Centimeter, file)
}

// powers marks 1, 10, 100 and so on, in full.
type powers struct{}

func (powers) Ticks(low, high float64) []plot.Tick {
	var ticks []plot.Tick
	for n := math.Pow(10, math.Floor(math.Log10(low))); n <= high*1.01; n *= 10 {
		if n >= low*0.99 {
			ticks = append(ticks, plot.Tick{Value: n, Label: short(n)})
		}
		for k := 2.0; k < 10; k++ {
			if n*k >= low && n*k <= high {
				ticks = append(ticks, plot.Tick{Value: n * k})
			}
		}
	}
	return ticks
}

func short(n float64) string {
	switch {
	case n >= 1e6:
		return strconv.FormatFloat(n/1e6, 'g', 4, 64) + "M"
	case n >= 1e3:
		return strconv.FormatFloat(n/1e3, 'g', 4, 64) + "k"
	}
	return strconv.FormatFloat(n, 'g', 4, 64)
}

func svg(dir, name string) string { return filepath.Join(dir, name+".svg") }
