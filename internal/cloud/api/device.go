package api

func (a *API) deviceRoutes() []route {
	return nil
}
