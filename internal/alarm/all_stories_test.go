package alarm

import "slices"

func allStories() []story {
	return slices.Concat(generalStories, bitStories(), inAllStories(), batteryStories, outputStories, testStories, outletStories, edgeStories(), identityStories, floodStories())
}
