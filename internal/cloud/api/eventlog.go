package api

func (a *API) logRoutes() []route {
	return nil
}
