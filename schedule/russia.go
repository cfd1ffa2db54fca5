package schedule

import (
	"sync"
	"time"
)

// Russia returns Russia's production calendar of 2019 to 2027, by Moscow date, for
// a week of five days: derived from the government's decrees and from law, with
// the days that the president declared off in 2020 and 2021. It does not have
// the days off of regions.
func Russia() *Production { return russia() }

var russia = sync.OnceValue(func() *Production {
	return derive(russianDecrees(), presidentialDays())
})

// russianDecrees returns all that does not follow from law. What law itself moves
// (article 112 of the Labor Code) is not in the decrees.
func russianDecrees() []decree {
	return []decree{
		{2019, "1163", NewDate(2018, 10, 1), moves(2019, 105, 502, 106, 503, 223, 510)},
		{2020, "875", NewDate(2019, 7, 10), moves(2020, 104, 504, 105, 505)},
		{2021, "1648", NewDate(2020, 10, 10), moves(2021, 102, 1105, 103, 1231, 220, 222)},
		{2022, "1564", NewDate(2021, 9, 16), moves(2022, 101, 503, 102, 510, 305, 307)},
		{2023, "1505", NewDate(2022, 8, 29), moves(2023, 101, 224, 108, 508)},
		{2024, "1314", NewDate(2023, 8, 10), moves(2024, 106, 510, 107, 1231, 427, 429, 1102, 430, 1228, 1230)},
		{2025, "1335", NewDate(2024, 10, 4), moves(2025, 104, 502, 105, 1231, 223, 508, 308, 613, 1101, 1103)},
		{2026, "1466", NewDate(2025, 9, 24), moves(2026, 103, 109, 104, 1231)},
		{2027, "1187", NewDate(2026, 9, 17), moves(2027, 102, 1105, 103, 1231, 220, 222)},
	}
}

// moves converts pairs of days, from and to, each as month*100 + day.
func moves(year int, days ...int) []move {
	date := func(md int) Date { return NewDate(year, time.Month(md/100), md%100) }
	var ms []move
	for i := 0; i+1 < len(days); i += 2 {
		ms = append(ms, move{date(days[i]), date(days[i+1])})
	}
	return ms
}

// presidentialDays returns the days that the president declared off in 2020 and
// 2021.
func presidentialDays() []Period {
	return []Period{
		{NewDate(2020, 3, 30), NewDate(2020, 4, 3), "president's decree 206"},
		{NewDate(2020, 4, 4), NewDate(2020, 4, 30), "president's decree 239"},
		{NewDate(2020, 5, 6), NewDate(2020, 5, 8), "president's decree 294"},
		{NewDate(2020, 6, 24), Date{}, "president's decree 345"},
		{NewDate(2020, 7, 1), Date{}, "president's decree 354"},
		{NewDate(2021, 5, 4), NewDate(2021, 5, 7), "president's decree 242"},
		{NewDate(2021, 10, 30), NewDate(2021, 11, 7), "president's decree 595"},
	}
}

// holidays are the public holidays of article 112, by month*100 + day, except
// those of the first eight days of January.
var holidays = map[int]string{
	107: "Orthodox Christmas", 223: "Defender of the Fatherland Day", 308: "International Women's Day",
	501: "Spring and Labor Day", 509: "Victory Day", 612: "Russia Day", 1104: "Unity Day",
}

// holiday returns the name of the public holiday on a date, "" if there is none.
func holiday(d Date) string {
	_, m, dd := d.Date()
	name := holidays[int(m)*100+dd]
	if name == "" && m == time.January && dd <= 8 {
		name = "New Year holidays"
	}
	return name
}
