-- The interface layer: amounts in whole units of money, exact to the cent where they are sums.
create view daily_order_report as
select day, orders, revenue_cents * 0.01 as total_revenue, mean_revenue_cents / 100 as mean_revenue
from daily_order_metrics order by day;

-- weighted_revenue adds up to total_revenue of the day; impact_revenue counts a line in each of its categories.
create view daily_category_report as
select day, category_name as category, mean_revenue_cents / 100 as mean_revenue,
       median_revenue_cents / 100 as median_revenue, weighted_revenue_cents * 0.01 as weighted_revenue,
       impact_revenue_cents * 0.01 as impact_revenue
from daily_category_metrics order by day, category_name, category_id;

-- Orders whose header is not what their lines come to, in minor units of the order's currency.
create view order_header_differences as
select order_id, day, currency, total_minor, lines_minor, difference_minor, items
from wide_orders where difference_minor <> 0 order by day, order_id;
