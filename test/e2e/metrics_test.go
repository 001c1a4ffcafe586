package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metricsql"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"github.com/saslguard/saslguard/configs"
	"github.com/saslguard/saslguard/test/lab"
)

// Metrics, their documentation, the alert rules and the dashboard are held to each
// other by what a saslguard shows that has everything, Redis included.
func TestMetrics(t *testing.T) {
	t.Parallel()
	r := lab.StartRedis(t, lab.RedisOptions{})
	p := newProgram(t)
	p.write(t, fmt.Sprintf("redis: {addresses: [%q], hash_key: 0123456789abcdef}\nnotify: {webhook: {url: \"http://127.0.0.1:1/\", secret: 0123456789abcdef}}\nfirewall: {enabled: true, backend: dryrun}\n", r.Addr))
	proc := p.start(t)
	shown := scrape(t, p.admin)
	t.Run("names", func(t *testing.T) { wellNamed(t, shown) })
	t.Run("documentation", func(t *testing.T) { documented(t, shown) })
	t.Run("dashboard", func(t *testing.T) {
		queries := dashboardQueries(t)
		if len(queries) < 40 {
			t.Errorf("only %d queries", len(queries))
		}
		for _, q := range queries {
			asks(t, shown, q)
		}
	})
	t.Run("alerts", func(t *testing.T) {
		for _, q := range alertQueries(t) {
			asks(t, shown, q)
		}
	})
	stopped(t, proc)
}

type families map[string]*dto.MetricFamily

func scrape(t *testing.T, admin string) families {
	t.Helper()
	client := http.Client{Timeout: 10 * time.Second}
	res, err := client.Get("http://" + admin + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	shown, err := parser.TextToMetricFamilies(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return shown
}

// wellNamed holds names, units and help to Prometheus's conventions, and labels to
// ones that a stranger cannot multiply.
func wellNamed(t *testing.T, shown families) {
	var ours []*dto.MetricFamily
	bounded := []string{"action", "answer", "class", "command", "enforced", "face", "kind", "observed", "operation", "origin", "outcome", "program", "reason", "result", "rule", "state", "target", "version", "why"}
	for name, f := range shown {
		if !strings.HasPrefix(name, "saslguard_") {
			continue
		}
		ours = append(ours, f)
		if !strings.HasSuffix(f.GetHelp(), ".") {
			t.Errorf("%s: %q is no sentence", name, f.GetHelp())
		}
		for label := range labels(f) {
			if !slices.Contains(bounded, label) {
				t.Errorf("%s has the label %s, of which nobody has said that it is bounded", name, label)
			}
		}
		if len(f.Metric) > 200 {
			t.Errorf("%s has %d series", name, len(f.Metric))
		}
	}
	problems, err := promlint.NewWithMetricFamilies(ours).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// labels are the labels of a metric and their values.
func labels(f *dto.MetricFamily) map[string][]string {
	all := map[string][]string{}
	for _, m := range f.Metric {
		for _, l := range m.Label {
			all[l.GetName()] = append(all[l.GetName()], l.GetValue())
		}
	}
	return all
}

// documented holds docs/metrics.md to what is shown, both ways.
func documented(t *testing.T, shown families) {
	text, err := os.ReadFile("../../docs/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for name, f := range shown {
		if !strings.HasPrefix(name, "saslguard_") {
			continue
		}
		var names []string
		for l := range labels(f) {
			names = append(names, "`"+l+"`")
		}
		slices.Sort(names)
		want = append(want, fmt.Sprintf("| `%s` | %s | %s | %s |", name, strings.ToLower(f.GetType().String()), strings.Join(names, ", "), f.GetHelp()))
	}
	var got []string
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "| `saslguard_") {
			got = append(got, strings.TrimSpace(line))
		}
	}
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("missing in docs/metrics.md:\n%s", w)
		}
	}
	for _, g := range got {
		if !slices.Contains(want, g) {
			t.Errorf("in docs/metrics.md, and not shown:\n%s", g)
		}
	}
}

func dashboardQueries(t *testing.T) (queries []string) {
	t.Helper()
	text, err := configs.Snippet("grafana/saslguard.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Templating struct {
			List []struct{ Name, Definition string }
		}
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, v := range dashboard.Templating.List {
		if m := regexp.MustCompile(`^label_values\((\w+), \w+\)$`).FindStringSubmatch(v.Definition); m != nil {
			queries = append(queries, m[1])
		}
	}
	for _, p := range dashboard.Panels {
		for _, target := range p.Targets {
			queries = append(queries, strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*").Replace(target.Expr))
		}
	}
	return queries
}

func alertQueries(t *testing.T) (queries []string) {
	t.Helper()
	text, err := configs.Snippet("prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr, For    string
				Labels, Annotations map[string]string
			}
		}
	}
	decoder := yaml.NewDecoder(strings.NewReader(string(text)))
	decoder.KnownFields(true)
	if err := decoder.Decode(&file); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, g := range file.Groups {
		for _, r := range g.Rules {
			if r.Alert == "" || seen[r.Alert] || r.Annotations["summary"] == "" || r.Annotations["description"] == "" ||
				r.Labels["severity"] != "warning" && r.Labels["severity"] != "critical" {
				t.Errorf("%+v", r)
			}
			seen[r.Alert] = true
			queries = append(queries, r.Expr)
		}
	}
	return queries
}

// scraped are the metric and the labels that Prometheus itself adds.
var scraped = []string{"job", "instance", "le"}

// asks holds a query's metrics, its labels and the values that it compares them with
// to those that are shown.
func asks(t *testing.T, shown families, query string) {
	t.Helper()
	expr, err := metricsql.Parse(query)
	if err != nil {
		t.Errorf("%s: %v", query, err)
		return
	}
	known := map[string]bool{} // the labels of the query's metrics
	for _, l := range scraped {
		known[l] = true
	}
	metricsql.VisitAll(expr, func(e metricsql.Expr) {
		if m, ok := e.(*metricsql.MetricExpr); ok {
			for _, filters := range m.LabelFilterss {
				selects(t, shown, query, filters, known)
			}
		}
	})
	metricsql.VisitAll(expr, func(e metricsql.Expr) {
		var by []string
		switch e := e.(type) {
		case *metricsql.AggrFuncExpr:
			by = e.Modifier.Args
		case *metricsql.BinaryOpExpr:
			by = append(e.GroupModifier.Args, e.JoinModifier.Args...)
		}
		for _, l := range by {
			if !known[l] {
				t.Errorf("%s: no metric of it has the label %s", query, l)
			}
		}
	})
}

// selects looks at one selector: the first filter is the metric's name.
func selects(t *testing.T, shown families, query string, filters []metricsql.LabelFilter, known map[string]bool) {
	t.Helper()
	name := filters[0].Value
	if name == "up" {
		return
	}
	f := shown[name]
	if f == nil {
		base := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
		if f = shown[base]; f.GetType() != dto.MetricType_HISTOGRAM {
			t.Errorf("%s: there is no %s", query, name)
			return
		}
	}
	have := labels(f)
	for l := range have {
		known[l] = true
	}
	for _, filter := range filters[1:] {
		if slices.Contains(scraped, filter.Label) {
			continue
		}
		pattern := regexp.QuoteMeta(filter.Value)
		if filter.IsRegexp {
			pattern = filter.Value
		}
		for alternative := range strings.SplitSeq(pattern, "|") {
			match := regexp.MustCompile("^(?:" + alternative + ")$")
			if !slices.ContainsFunc(have[filter.Label], match.MatchString) {
				t.Errorf("%s: no %s has a %s %q", query, name, filter.Label, alternative)
			}
		}
	}
}
