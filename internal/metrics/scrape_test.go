package metrics

import (
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// ask answers one request without a network.
func ask(h http.Handler, url string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, url, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func site(n int) []Unit {
	var out []Unit
	for i := range n {
		u := everything()
		u.Name = fmt.Sprintf("rack-%03d", n-i)
		out = append(out, u)
	}
	return out
}

// Prometheus refuses a scrape that has a family twice, a series twice, or a header behind the first series of its family.
func TestAScrapeIsOneTextThatTheLibraryReads(t *testing.T) {
	w := ask(newScraper(registry(Sources{Serial: true}, site(40)...)), "/metrics")
	if ct := w.Header().Get("Content-Type"); !strings.HasPrefix(ct, "text/plain; version=0.0.4; charset=utf-8") {
		t.Errorf("Content-Type %q", ct)
	}
	text := w.Body.String()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(families["ups_alarm_active"].GetMetric()); n%40 != 0 || n < 40*100 {
		t.Errorf("%d series of active alarms of 40 units", n)
	}
	if n := len(families["go_goroutines"].GetMetric()); n != 1 {
		t.Errorf("%d series of the runtime's", n)
	}
	var order []string
	seen := map[string]bool{}
	for l := range strings.Lines(text) {
		if name, ok := strings.CutPrefix(l, "# TYPE "); ok {
			order = append(order, strings.Fields(name)[0])
		} else if !strings.HasPrefix(l, "#") {
			series := l[:strings.LastIndex(l, " ")]
			if seen[series] {
				t.Errorf("%s comes twice", series)
			}
			seen[series] = true
		}
	}
	if !slices.IsSorted(order) || len(order) != len(families) {
		t.Errorf("%d headers of %d families, not by name: %v", len(order), len(families), order)
	}
}

// What is written is what the library would write.
func TestValuesAndLabelsAsTheLibraryWritesThem(t *testing.T) {
	const name = "ups_info"
	for _, v := range []float64{0, 1, -1, 0.5, -4, 999999, 1e6, 1234567, 1e21, 1e-7, 1790000000.123, math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64} {
		for _, s := range []string{"", "plain", `back\slash`, "quo\"te", "new\nline", "Größe"} {
			var want strings.Builder
			kind, labelName := dto.MetricType_GAUGE, "model"
			help, lib := "A \\ and\na line.", name
			if _, err := expfmt.MetricFamilyToText(&want, &dto.MetricFamily{Name: &lib, Help: &help, Type: &kind, Metric: []*dto.Metric{
				{Label: []*dto.LabelPair{{Name: &labelName, Value: &s}}, Gauge: &dto.Gauge{Value: &v}},
			}}); err != nil {
				t.Fatal(err)
			}
			got := written(t, &family{name, help, "gauge", func(x *text) { x.sample("", label("model", s), "", v) }})
			if d := cmp.Diff(want.String(), got); d != "" {
				t.Errorf("%v with %q (-library +ours):\n%s", v, s, d)
			}
		}
	}
	if got := label("model", "\xff"); got != "model=\"\uFFFD\"" {
		t.Errorf("what is not UTF-8 becomes %s", got)
	}
}

func TestGzipCarriesTheSame(t *testing.T) {
	s := newScraper(registry(Sources{}, site(3)...))
	plain := ask(s, "/metrics?name[]=ups_status&name[]=ups_up")
	packed := ask(s, "/metrics?name[]=ups_status&name[]=ups_up", "Accept-Encoding", "zstd, gzip;q=0.5")
	if e := plain.Header().Get("Content-Encoding"); e != "" {
		t.Errorf("nobody asked for %s", e)
	}
	if e := packed.Header().Get("Content-Encoding"); e != "gzip" {
		t.Fatalf("Content-Encoding %q", e)
	}
	z, err := gzip.NewReader(packed.Body)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(plain.Body.String(), string(text)); d != "" {
		t.Errorf("(-plain +packed)\n%s", d)
	}
	if n := strings.Count(string(text), "# TYPE"); n != 2 {
		t.Errorf("%d families of the two that name[] picks", n)
	}
}

func TestWhoTakesGzip(t *testing.T) {
	for accept, want := range map[string]bool{
		"": false, "gzip": true, "GZIP": true, "deflate": false, "deflate, gzip;q=1.0, *;q=0.5": true, "gzip;q=0": false, "gzip; q=0.0, *": false,
		"*": true, "*;q=0": false, "identity;q=1, *;q=0": false, "gzip;q=nonsense": false, "br, *;q=0.1": true,
	} {
		if got := takesGzip([]string{accept}); got != want {
			t.Errorf("%q takes gzip: %v", accept, got)
		}
	}
}

// slow is a client that reads nothing until it is let.
type slow struct {
	http.ResponseWriter
	let chan struct{}
}

func (s slow) Write(p []byte) (int, error) { <-s.let; return s.ResponseWriter.Write(p) }

func TestScrapesTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScraper(registry(Sources{}, site(2)...))
		let := make(chan struct{})
		ended := make(chan struct{}, mostScrapes)
		begun := func(from string) {
			r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
			r.RemoteAddr = from
			go func() {
				s.ServeHTTP(slow{httptest.NewRecorder(), let}, r)
				ended <- struct{}{}
			}()
			synctest.Wait()
		}
		begun("192.0.2.7:40000")
		if w := ask(s, "/metrics"); w.Code != http.StatusOK {
			t.Errorf("beside one of another address: %d", w.Code)
		}
		begun("192.0.2.8:40000")
		begin := time.Now()
		w := ask(s, "/metrics")
		if took := time.Since(begin); w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" || took != waitForTurn {
			t.Errorf("one scrape more: %d after %v", w.Code, took)
		}
		time.AfterFunc(waitForTurn/2, func() { close(let) })
		if w := ask(s, "/metrics"); w.Code != http.StatusOK {
			t.Errorf("a scrape that waits until another has ended: %d", w.Code)
		}
		for range mostScrapes {
			<-ended
		}
	})
}

// broken is a client that goes away.
type broken struct{ http.ResponseWriter }

func (broken) Write([]byte) (int, error) { return 0, errors.New("gone") }

func TestAnAnswerThatIsCutOffDoesNotLookWhole(t *testing.T) {
	s := newScraper(registry(Sources{}, site(2)...))
	func() {
		defer func() {
			if v := recover(); v != http.ErrAbortHandler { //nolint:errorlint // the very value is what net/http looks for
				t.Errorf("the handler ends with %v", v)
			}
		}()
		s.ServeHTTP(broken{httptest.NewRecorder()}, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	}()
	text := ask(s, "/metrics").Body.String() // and the turn is free again
	if want := `promhttp_metric_handler_errors_total{cause="encoding"} 1`; !strings.Contains(text, want+"\n") {
		t.Errorf("no line %s", want)
	}
}

// What a scrape allocates grows with the units, a little, and not with the series of each, of which there are hundreds.
func TestAScrapeHoldsNoSeries(t *testing.T) {
	allocated := func(units int) float64 {
		reg := registry(Sources{}, site(units)...)
		return testing.AllocsPerRun(5, func() {
			families, err := reg.families(nil)
			if err != nil || write(io.Discard, families) != nil {
				t.Error("no scrape")
			}
		})
	}
	if each := (allocated(150) - allocated(50)) / 100; each > 40 {
		t.Errorf("%.1f allocations for a unit more", each)
	}
}
